// Which rows of a long list are drawn. Pure.

/** Rows drawn beyond both edges, so that a quick scroll shows no hole. */
const MARGIN = 8;

export interface Window {
  first: number;
  /** One past the last. */
  end: number;
}

export function visible(scrolled: number, height: number, row: number, count: number): Window {
  const first = Math.max(0, Math.floor(scrolled / row) - MARGIN);
  const end = Math.min(count, Math.ceil((scrolled + height) / row) + MARGIN);
  return { first: Math.min(first, Math.max(0, end)), end: Math.max(0, end) };
}
