// Finds what somebody means by a few letters. Pure.

/** How well `text` fits: higher is better, `null` not at all. Letters must come in order; starts of words count more. */
export function score(letters: string, text: string): number | null {
  const wanted = letters.toLowerCase().replaceAll(' ', '');
  const lower = text.toLowerCase();
  let from = 0;
  let total = 0;
  for (const letter of wanted) {
    const at = lower.indexOf(letter, from);
    if (at < 0) return null;
    const starts = at === 0 || /[\s/.:_-]/.test(lower[at - 1] ?? '');
    total += at === from && from > 0 ? 3 : starts ? 2 : 0;
    from = at + 1;
  }
  if (lower.includes(letters.toLowerCase())) total += 10;
  return total - lower.length / 100;
}

export function best<T>(letters: string, all: T[], text: (one: T) => string, most: number): T[] {
  const scored = all.map((one) => ({ one, points: score(letters, text(one)) }));
  const found = scored.filter((each): each is { one: T; points: number } => each.points !== null);
  found.sort((one, two) => two.points - one.points);
  return found.slice(0, most).map(({ one }) => one);
}
