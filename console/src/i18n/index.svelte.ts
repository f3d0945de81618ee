// Words in the reader's language.

import { settings } from '../lib/settings.svelte';
import { en } from './en';
import { ko } from './ko';

/** Every language says the same things. */
export type Words = typeof en;

const ALL: Record<typeof settings.language, Words> = { en, ko };

/** The words; call it where they are shown, so that they follow the reader's choice. */
export function t(): Words {
  return ALL[settings.language];
}

/** A word of the API in the reader's language; one that is not known stays as it is. */
export function word(of: keyof Words['words'], value: string): string {
  return (t().words[of] as Record<string, string>)[value] ?? value;
}
