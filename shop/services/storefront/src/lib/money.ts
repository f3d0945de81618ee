// Money is an integer in minor units with a currency; only here does it become text, or text become money.

const locale = 'en-IE';

/** The digits after the point: 2 for EUR, 0 for KRW. */
function digits(currency: string): number {
  return new Intl.NumberFormat(locale, { style: 'currency', currency }).resolvedOptions()
    .maximumFractionDigits!;
}

/** For people: `5400` of EUR is `€54.00`. */
export function formatMoney(minor: number, currency: string): string {
  const amount = minor / 10 ** digits(currency);
  return new Intl.NumberFormat(locale, { style: 'currency', currency }).format(amount);
}

/**
 * What a person typed, in minor units; null for what is no positive amount.
 *
 * A point or a comma separates the decimals, `1.234,50` and `1,234.50` are refused rather than guessed at.
 */
export function parseMoney(text: string, currency: string): number | null {
  const [, whole, part = ''] = /^(\d{1,9})(?:[.,](\d+))?$/.exec(text.trim()) ?? [];
  const places = digits(currency);
  if (whole === undefined || part.length > places) return null;
  const minor = Number(whole) * 10 ** places + Number(part.padEnd(places, '0') || 0);
  return minor > 0 ? minor : null;
}
