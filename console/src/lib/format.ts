// Figures and times for people. Pure; the language is an argument.

/** A time of the API: milliseconds, or RFC 3339. */
export type When = number | string;

export function millis(when: When): number {
  return typeof when === 'number' ? when : Date.parse(when);
}

/** What cannot be read as a time, such as a leap second, is shown as it is. */
function unread(when: When): string {
  return typeof when === 'string' ? when : '–';
}

/** Making one of these costs more than a hundred uses of it. */
const made = new Map<string, unknown>();

function once<T>(key: string, make: () => T): T {
  let one = made.get(key) as T | undefined;
  if (one === undefined) made.set(key, (one = make()));
  return one;
}

function numbers(language: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `${language} ${options.style ?? ''} ${options.maximumFractionDigits ?? ''}`;
  return once(key, () => new Intl.NumberFormat(language, options));
}

/** Three digits that mean something: `0.42`, `7.1`, `86`, `12,400`. */
export function figure(value: number, language: string): string {
  if (!Number.isFinite(value)) return '–';
  const digits = value === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return numbers(language, { maximumFractionDigits: digits }).format(value);
}

export function count(value: number, language: string): string {
  return numbers(language, {}).format(value);
}

export function percent(share: number, language: string): string {
  const digits = share === 0 || share >= 0.1 ? 0 : share >= 0.001 ? 1 : 2;
  return numbers(language, { style: 'percent', maximumFractionDigits: digits }).format(share);
}

/** `850 µs`, `4.2 ms`, `1.3 s`, `2 min 5 s`, `3 h 4 min`, `2 d 3 h`. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  const short = (value: number) => String(Number(value.toPrecision(3)));
  // Times of the API are whole milliseconds: nothing is less than one of them.
  if (ms === 0) return '0 ms';
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${short(ms)} ms`;
  if (ms < 59_500) return `${short(ms / 1000)} s`;
  const parts: [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ];
  let rest = Math.round(ms / 1000) * 1000;
  const words: string[] = [];
  for (const [size, unit] of parts) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0 || words.length > 0) words.push(`${n} ${unit}`);
    if (words.length === 2) break;
  }
  return words.filter((word) => !word.startsWith('0 ')).join(' ');
}

/** `14:03:07.120`, of the day; the whole date is for a title. */
export function clock(at: When, withMillis = true): string {
  const date = new Date(millis(at));
  if (Number.isNaN(date.getTime())) return unread(at);
  const two = (n: number) => String(n).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return withMillis ? `${time}.${String(date.getMilliseconds()).padStart(3, '0')}` : time;
}

/** `14:03:07.120` of today, `Nov 20, 14:03:07` of any other day. */
export function stamp(at: When, now: number, language: string): string {
  const [then, today] = [new Date(millis(at)), new Date(now)];
  if (Number.isNaN(then.getTime())) return unread(at);
  if (then.toDateString() === today.toDateString()) return clock(at);
  const options = { month: 'short', day: 'numeric' } as const;
  const day = once(`${language} day`, () => new Intl.DateTimeFormat(language, options)).format(then);
  return `${day}, ${clock(at, false)}`;
}

export function date(at: When, language: string): string {
  const ms = millis(at);
  if (Number.isNaN(ms)) return unread(at);
  const options = { dateStyle: 'medium', timeStyle: 'medium' } as const;
  return once(`${language} date`, () => new Intl.DateTimeFormat(language, options)).format(ms);
}

/** `just now`, `12 seconds ago`, `in 3 minutes`, in the language's own words. */
export function relative(at: When, now: number, language: string): string {
  const ms = millis(at);
  if (Number.isNaN(ms)) return unread(at);
  const make = () => new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'narrow' });
  const words = once(`${language} relative`, make);
  const seconds = Math.round((ms - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 60) return words.format(seconds, 'second');
  if (size < 3600) return words.format(Math.round(seconds / 60), 'minute');
  if (size < 86_400) return words.format(Math.round(seconds / 3600), 'hour');
  return words.format(Math.round(seconds / 86_400), 'day');
}

/** When a UUIDv7 was made; `null` for any other id. */
export function madeAt(id: string): number | null {
  const hex = id.replaceAll('-', '');
  return /^[0-9a-f]{12}7[0-9a-f]{19}$/i.test(hex) ? parseInt(hex.slice(0, 12), 16) : null;
}

export function bytes(size: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) {
    size /= 1024;
    at += 1;
  }
  return `${size >= 10 || at === 0 ? Math.round(size) : size.toFixed(1)} ${units[at]}`;
}
