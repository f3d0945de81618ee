// Reads again what the live stream says has changed, at most once a second.

import { live } from './live.svelte';

const PAUSE = 1000;

/** Call where a component begins. */
export function refreshed(topic: string, ...resources: { again: () => void }[]) {
  $effect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = live.hear(topic, (frame) => {
      if (frame.snapshot) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        resources.forEach((resource) => resource.again());
      }, PAUSE);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  });
}
