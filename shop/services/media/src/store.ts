// Files on disk: bytes in `blobs/ID`, and in `files/NAME.json` which blob a name stands for.
//
// What must hold
// - A name changes from one whole file to another by the rename of its record; the blob is synced before, the folders after.
//   Whoever reads meanwhile reads one of the two to its end.
// - An upload that ends in the middle, by whatever, leaves at most a blob that no record names; such blobs are deleted at
//   the next start, once they are older than any upload can be.
// - All blobs together take at most `capacity`, those of one customer at most `share`, uploads in flight included, and one
//   at most MAX_SIZE.
// - A name belongs to whoever took it first, until it is removed; an administrator's replacement leaves it theirs.
//
// Two instances run together during a replacement. They never write the same blob; of two records for one name renamed at
// the same moment the later stays, as if one upload had come after the other.
//
// Tests: test/store.test.ts, test/http.test.ts, test/process.test.ts.

import { createHash, randomUUID, type Hash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, readdir, readFile, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Problem } from 'shop-kit-node';
import { kindOf, LOOKED_AT } from './kind.ts';

/** Bytes of one file: 100 MB. */
export const MAX_SIZE = 100_000_000;

/** Milliseconds; an upload is cut long before (app.ts). */
const ABANDONED = 3_600_000;

/** What a name stands for. */
export interface Entry {
  blob: string;
  size: number;
  /** SHA-256, in quotes. */
  etag: string;
  type: string;
  /** The user's id; null for the shop itself. */
  owner: string | null;
  /** RFC 3339. */
  at: string;
}

export interface Upload {
  name: string;
  owner: string | null;
  /** Asked before the first byte and again before the name changes: throws a `Problem` if it may not. */
  allow: (current: Entry | null) => void;
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Bytes. */
export interface Room {
  /** Of all files. */
  capacity: number;
  /** Of one customer's files. The shop's own have no such bound. */
  share: number;
}

export class MediaStore {
  readonly #files: string;
  readonly #blobs: string;
  readonly #room: Room;
  /** Bytes of all blobs, those that are being written too. */
  #used = 0;
  /** Those of each customer; of an upload in flight they are the sender's. One number per customer who has a file. */
  readonly #usedBy = new Map<string, number>();
  /** Names whose records are being changed by this process, and the end of the change. At most one per upload. */
  readonly #changing = new Map<string, Promise<unknown>>();

  private constructor(folder: string, room: Room) {
    [this.#files, this.#blobs, this.#room] = [join(folder, 'files'), join(folder, 'blobs'), room];
    for (const path of [this.#files, this.#blobs]) mkdirSync(path, { recursive: true });
  }

  /** Opens the folder and removes what uploads left that never ended. */
  static async open(folder: string, room: Room): Promise<MediaStore> {
    const store = new MediaStore(folder, room);
    await store.#sweep();
    return store;
  }

  async find(name: string): Promise<Entry | null> {
    try {
      return JSON.parse(await readFile(this.#record(name), 'utf8')) as Entry;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  /** The entry and its opened blob; the caller closes it. */
  async read(name: string): Promise<{ entry: Entry; file: FileHandle } | null> {
    // Between the two steps a new version may take the blob away; then the record names another.
    for (let tries = 0; tries < 10; tries++) {
      const entry = await this.find(name);
      if (!entry) return null;
      try {
        return { entry, file: await open(join(this.#blobs, entry.blob)) };
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    throw new Error(`${name}: its record names a blob that is not there`);
  }

  /** Takes an upload whole or not at all. `isNew`: the name stood for nothing before. */
  async write({ name, owner, allow, body }: Upload): Promise<{ entry: Entry; isNew: boolean }> {
    allow(await this.find(name));
    const blob = randomUUID();
    let written = 0;
    try {
      const { etag, head } = await this.#receive(blob, body, (bytes) => {
        this.#reserve(owner, bytes, written + bytes);
        written += bytes;
      });
      const type = kindOf(name, head);
      const entry = { blob, size: written, etag, type, owner, at: new Date().toISOString() };
      return await this.#alone(name, () => this.#commit(name, entry, allow));
    } catch (error) {
      // A record that names it was renamed before the failure: then it stays.
      if ((await this.find(name))?.blob !== blob) await this.#discard({ blob, size: written, owner });
      throw isFull(error) ? new Problem(507, 'no_space', 'There is no room for it', { cause: error }) : error;
    }
  }

  /** Takes a file away, and frees its name. False: there is none. `allow` as for an upload. */
  async remove(name: string, allow: (current: Entry) => void): Promise<boolean> {
    return this.#alone(name, async () => {
      const current = await this.find(name);
      if (!current) return false;
      allow(current);
      await unlink(this.#record(name));
      await syncFolder(this.#files);
      await this.#discard(current);
      return true;
    });
  }

  async #receive(
    blob: string,
    body: Upload['body'],
    count: (bytes: number) => void,
  ): Promise<{ etag: string; head: Buffer }> {
    const hash = createHash('sha256');
    let head = Buffer.of();
    const file = await open(join(this.#blobs, blob), 'wx', 0o640);
    try {
      // One chunk at a time: while the disk is slow the sender waits.
      for await (const chunk of body) {
        count(chunk.byteLength);
        hash.update(chunk);
        if (head.length < LOOKED_AT) head = Buffer.concat([head, chunk.subarray(0, LOOKED_AT - head.length)]);
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(this.#blobs);
    return { etag: quoted(hash), head };
  }

  async #commit(
    name: string,
    sent: Entry,
    allow: Upload['allow'],
  ): Promise<{ entry: Entry; isNew: boolean }> {
    const current = await this.find(name);
    allow(current);
    if (current?.etag === sent.etag) {
      // Sent again: what is there is what is wanted.
      await this.#discard(sent);
      return { entry: current, isNew: false };
    }
    const entry = { ...sent, owner: current?.owner ?? sent.owner };
    // Beside the blobs until it is whole; a kill leaves it to the sweep.
    const half = join(this.#blobs, `${entry.blob}.json`);
    const file = await open(half, 'wx', 0o640);
    try {
      await file.writeFile(JSON.stringify(entry));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(half, this.#record(name));
    await syncFolder(this.#files);
    this.#count(sent.owner, -sent.size);
    this.#count(entry.owner, entry.size);
    if (current) await this.#discard(current);
    return { entry, isNew: current === null };
  }

  #reserve(owner: string | null, bytes: number, whole: number): void {
    if (whole > MAX_SIZE) throw new Problem(413, 'too_large', `A file is at most ${MAX_SIZE} bytes`);
    if (this.#used + bytes > this.#room.capacity)
      throw new Problem(507, 'no_space', 'There is no room for it');
    if (owner !== null && (this.#usedBy.get(owner) ?? 0) + bytes > this.#room.share) {
      throw new Problem(507, 'share_used', 'Your files take all the room that you have; delete one');
    }
    this.#count(owner, bytes);
  }

  #count(owner: string | null, bytes: number): void {
    this.#used += bytes;
    if (owner === null) return;
    const used = (this.#usedBy.get(owner) ?? 0) + bytes;
    if (used > 0) this.#usedBy.set(owner, used);
    else this.#usedBy.delete(owner);
  }

  async #discard({ blob, size, owner }: Pick<Entry, 'blob' | 'size' | 'owner'>): Promise<void> {
    try {
      await unlink(join(this.#blobs, blob));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    this.#count(owner, -size);
  }

  /** Runs `work` when no other change of this name is under way here. */
  async #alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(name);
    const change = Promise.resolve(before).then(work, work);
    const settled = change.catch(() => undefined);
    this.#changing.set(name, settled);
    try {
      return await change;
    } finally {
      if (this.#changing.get(name) === settled) this.#changing.delete(name);
    }
  }

  async #sweep(): Promise<void> {
    const named = new Map<string, Entry>();
    for (const file of await readdir(this.#files)) {
      const entry = await this.find(file.replace(/\.json$/, ''));
      if (entry) named.set(entry.blob, entry);
    }
    for (const blob of await readdir(this.#blobs)) {
      const path = join(this.#blobs, blob);
      // Another instance may be doing the same; what is gone is gone.
      const found = await stat(path).catch(() => null);
      if (!found) continue;
      const entry = named.get(blob);
      if (entry || Date.now() - found.mtimeMs < ABANDONED) this.#count(entry?.owner ?? null, found.size);
      else await unlink(path).catch(() => undefined);
    }
  }

  #record(name: string): string {
    return join(this.#files, `${name}.json`);
  }
}

/** The validator of these bytes. */
export const etagOf = (bytes: Uint8Array): string => quoted(createHash('sha256').update(bytes));

const quoted = (hash: Hash): string => `"${hash.digest('hex')}"`;

/** A new or renamed file is durable when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';
const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(codeOf(error)));
