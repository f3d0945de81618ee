// Copies a text. Browsers give the clipboard's own interface to pages of this machine and of HTTPS only; a console that is
// reached at another address by HTTP copies as pages did before there was one.

/** False: the browser would not. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.style.position = 'fixed';
    area.style.opacity = '0';
    // In a dialog the rest of the page takes no focus.
    (document.activeElement?.closest('dialog') ?? document.body).append(area);
    const before = document.activeElement;
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}
