// Log lines in the browser: a bounded store with a filter kept up to date, and what a line says. Pure.

import { span } from './format';
import type { LogLine } from './types';

/** Lines kept; older ones go, and are counted. The supervisor keeps more. */
export const MAX_LINES = 20_000;

export interface Filter {
  text: string;
  level: '' | 'warn' | 'error';
  source: string;
}

export const NO_FILTER: Filter = { text: '', level: '', source: '' };

/** Whether a line passes; `/…/` is a regular expression, anything else a text in any case. */
export function matcher({ text, level, source }: Filter): (line: LogLine) => boolean {
  const levels =
    level === 'error' ? ['error', 'fatal'] : level === 'warn' ? ['warn', 'warning', 'error', 'fatal'] : null;
  const says = words(text);
  return (line) =>
    (levels === null || levels.includes((line.level ?? '').toLowerCase())) &&
    (source === '' || line.source === source) &&
    says(line.text);
}

function words(text: string): (line: string) => boolean {
  const pattern = /^\/(.+)\/$/.exec(text)?.[1];
  if (pattern !== undefined) {
    try {
      const regex = new RegExp(pattern, 'i');
      return (line) => regex.test(line);
    } catch {
      // Half-typed: as a text.
    }
  }
  const lower = text.toLowerCase();
  return lower === '' ? () => true : (line) => line.toLowerCase().includes(lower);
}

/** The stream of the mark that stands where lines may be missing. */
export const GAP = 'gap';

/** Lines and those of them that pass the filter. Not reactive: who shows it looks again when it has changed. */
export class LogStore {
  shown: LogLine[] = [];
  /** Lines that were kept and are no more. */
  dropped = 0;
  #lines: LogLine[] = [];
  #matches = matcher(NO_FILTER);

  get size() {
    return this.#lines.length;
  }

  /**
   * What to ask for after a break: the last line once more and what came since; `null`: from the beginning. That the last
   * line comes again is what proves that none between is missing.
   */
  get after(): number | null {
    const last = this.#lines.at(-1);
    return last === undefined ? null : last.seq - 1;
  }

  /** `again`: the first lines after a break, asked for with `after`. */
  add(lines: LogLine[], again = false) {
    const first = lines[0];
    const last = this.#lines.at(-1);
    if (again && first !== undefined && last !== undefined) {
      if (first.seq === last.seq && first.at === last.at) lines = lines.slice(1);
      else if (first.seq > last.seq) lines = [gap(last.seq, first.at), ...lines];
      // Other numbers: the system was made anew.
      else this.clear();
    }
    this.#lines.push(...lines);
    this.shown.push(...lines.filter(this.#passes));
    // In large steps, since cutting the front costs as much as what stays.
    if (this.#lines.length > MAX_LINES * 1.25) {
      const cut = this.#lines.length - MAX_LINES;
      const first = this.#lines[cut]?.seq ?? 0;
      this.#lines = this.#lines.slice(cut);
      this.dropped += cut;
      const keep = this.shown.findIndex((line) => line.seq >= first);
      this.shown = keep < 0 ? [] : this.shown.slice(keep);
    }
  }

  filter(filter: Filter) {
    this.#matches = matcher(filter);
    this.shown = this.#lines.filter(this.#passes);
  }

  #passes = (line: LogLine) => line.stream === GAP || this.#matches(line);

  clear() {
    this.#lines = [];
    this.shown = [];
    this.dropped = 0;
  }
}

/** Between the line `seq` and the next one. */
function gap(seq: number, at: LogLine['at']): LogLine {
  return { seq: seq + 0.5, at, source: '', stream: GAP, text: '' };
}

export interface Said {
  message: string;
  /** Members of a structured line beside its message, level and time. */
  fields: [string, string][];
  level: string;
}

const MESSAGE = ['message', 'msg'];
const LEVEL = ['level', 'severity', 'lvl'];
const TIME = ['timestamp', 'time', 'ts', '@timestamp'];

/** What a line says: of a JSON line its message and members, of any other its text. */
export function read(line: LogLine): Said {
  const plain = { message: line.text, fields: [], level: line.level ?? '' };
  if (!line.text.startsWith('{')) return plain;
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(line.text) as Record<string, unknown>;
  } catch {
    return plain;
  }
  if (line.stream === ACCESS) return request(json, plain.level);
  const flat = { ...json, ...(isObject(json['fields']) ? json['fields'] : {}) } as Record<string, unknown>;
  delete flat['fields'];
  const message = MESSAGE.map((name) => flat[name]).find((value) => value !== undefined);
  const known = new Set([...MESSAGE, ...LEVEL, ...TIME]);
  const fields = Object.entries(flat)
    .filter(([name]) => !known.has(name))
    .map(([name, value]): [string, string] => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
  return { message: typeof message === 'string' ? message : '', fields, level: plain.level };
}

/** The stream of requests. */
const ACCESS = 'access';
/** What stands elsewhere in the line, is the same in most lines, or is read by programs only. */
const LEFT_OUT = new Set([
  ...['time', 'level', 'message', 'status', 'duration_us', 'method', 'path', 'target', 'instance'],
  ...['client', 'protocol', 'host', 'bytes', 'span_id', 'parent_span_id'],
]);

/** `201    12.3 ms POST   /orders`, in columns; then the rest that is worth a look. */
function request(json: Record<string, unknown>, level: string): Said {
  const text = (name: string) => String(json[name] ?? '');
  const took = span(Number(json['duration_us'] ?? 0) / 1000);
  const message = `${text('status')} ${took.padStart(8)} ${text('method').padEnd(6)} ${text('path')}`;
  const fields = Object.entries(json)
    .filter(([name, value]) => !LEFT_OUT.has(name) && !(name === 'attempts' && Number(value) <= 1))
    .map(([name, value]): [string, string] => [name, String(value)])
    .sort(([one], [two]) => Number(one === 'trace_id') - Number(two === 'trace_id'));
  return { message, fields, level };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface Piece {
  text: string;
  /** Classes such as `bold red`. */
  style: string;
}

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
// ECMA-48 control sequences; only those of colours and weight (SGR) are read, the rest is left out.
const SEQUENCE = /\u001b\[([0-9;:?]*)([@-~])|\u001b[@-Z\\-_]/g;

/** A text with terminal colours, as pieces. */
export function pieces(text: string): Piece[] {
  if (!text.includes('\u001b')) return [{ text, style: '' }];
  const out: Piece[] = [];
  let style = new Set<string>();
  let from = 0;
  const add = (to: number) => {
    if (to > from) out.push({ text: text.slice(from, to), style: [...style].join(' ') });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[2] === 'm') style = styled(style, match[1] ?? '');
  }
  add(text.length);
  return out;
}

function styled(before: Set<string>, codes: string): Set<string> {
  let style = new Set(before);
  for (const code of codes.split(';').map(Number)) {
    const colour = COLOURS[code >= 90 ? code - 90 : code - 30];
    if (code === 0) style = new Set();
    else if (code === 1) style.add('bold');
    else if (code === 2) style.add('faint');
    else if (code === 22) ['bold', 'faint'].forEach((name) => style.delete(name));
    else if (code === 39) COLOURS.forEach((name) => style.delete(name));
    else if (colour !== undefined && ((code >= 30 && code <= 37) || (code >= 90 && code <= 97))) {
      COLOURS.forEach((name) => style.delete(name));
      style.add(colour);
    }
  }
  return style;
}
