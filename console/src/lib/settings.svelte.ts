// What a reader chose: theme and language, kept in this browser.

export type Theme = 'system' | 'light' | 'dark';
export type Language = 'en' | 'ko';

function kept(name: string): string | null {
  try {
    return localStorage.getItem(`ondol-${name}`);
  } catch {
    // A browser that keeps nothing still shows everything.
    return null;
  }
}

function keep(name: string, value: string) {
  try {
    localStorage.setItem(`ondol-${name}`, value);
  } catch {
    // As above.
  }
}

class Settings {
  theme = $state<Theme>((kept('theme') as Theme | null) ?? 'system');
  language = $state<Language>(
    (kept('language') as Language | null) ?? (navigator.language.startsWith('ko') ? 'ko' : 'en'),
  );

  start() {
    this.#apply();
  }

  setTheme(theme: Theme) {
    this.theme = theme;
    keep('theme', theme);
    this.#apply();
  }

  setLanguage(language: Language) {
    this.language = language;
    keep('language', language);
    this.#apply();
  }

  /** The next of system, light, dark. */
  nextTheme() {
    const all: Theme[] = ['system', 'light', 'dark'];
    this.setTheme(all[(all.indexOf(this.theme) + 1) % all.length] ?? 'system');
  }

  #apply() {
    const root = document.documentElement;
    root.lang = this.language;
    if (this.theme === 'system') root.removeAttribute('data-theme');
    else root.dataset['theme'] = this.theme;
  }
}

export const settings = new Settings();
