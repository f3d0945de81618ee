// The time, once a second, for words such as `12 s ago`; still while the tab is hidden.

class Now {
  ms = $state(Date.now());

  start() {
    setInterval(() => {
      if (!document.hidden) this.ms = Date.now();
    }, 1000);
  }
}

export const now = new Now();
