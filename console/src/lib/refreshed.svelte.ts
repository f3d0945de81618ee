// Reads again what may have changed.

import { live } from './live.svelte';

const PAUSE = 1000;

/** When the live stream says that a topic has news, at most once a second. Call where a component begins. */
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

/** Every so many milliseconds, while the tab is in view and the controller answers. Call where a component begins. */
export function polled(every: number, ...resources: { again: () => void }[]) {
  $effect(() => {
    const timer = setInterval(() => {
      if (!document.hidden && live.connection === 'open') resources.forEach((resource) => resource.again());
    }, every);
    return () => clearInterval(timer);
  });
}
