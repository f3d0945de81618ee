// Keys of the whole console. A key alone is one word, a sequence two, such as `g s`.

export type Bindings = Record<string, () => void>;

/** How long the second key of a sequence may take. */
const PATIENCE = 900;

/** Listens until the returned function is called. Keys typed into a field are the field's own. */
export function bind(bindings: () => Bindings): () => void {
  let before = '';
  let at = 0;
  const listen = (event: KeyboardEvent) => {
    if (
      event.defaultPrevented ||
      event.altKey ||
      isTyping(event.target) ||
      document.querySelector('dialog[open]')
    )
      return;
    const key = event.ctrlKey || event.metaKey ? `mod ${event.key.toLowerCase()}` : event.key;
    if (event.isComposing || ['Shift', 'Control', 'Meta'].includes(event.key)) return;
    const all = bindings();
    const sequence = event.timeStamp - at < PATIENCE ? `${before} ${key}` : '';
    const action = all[sequence] ?? all[key];
    before = key;
    at = event.timeStamp;
    if (action === undefined) return;
    event.preventDefault();
    before = '';
    action();
  };
  document.addEventListener('keydown', listen);
  return () => document.removeEventListener('keydown', listen);
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName))
  );
}
