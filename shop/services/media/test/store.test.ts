import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PRODUCTS } from '../src/pictures/index.ts';
import { pictureOf, seed } from '../src/seed.ts';
import { MediaStore, type Upload } from '../src/store.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'media-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (capacity: number, share = capacity) => MediaStore.open(folder, { capacity, share });
const blobs = () => readdirSync(join(folder, 'blobs'));
const upload = (name: string, ...chunks: string[]): Upload => ({
  name,
  owner: 'u1',
  allow: () => undefined,
  body: chunks.map((chunk) => Buffer.from(chunk)),
});
async function content(store: MediaStore, name: string): Promise<string | null> {
  const found = await store.read(name);
  if (!found) return null;
  const text = await found.file.readFile('utf8');
  await found.file.close();
  return text;
}

describe('a file', () => {
  it('is replaced whole; what was there before leaves no trace', async () => {
    const store = await open(1000);
    expect(await store.write(upload('a', 'one', ' more'))).toMatchObject({ isNew: true, entry: { size: 8 } });
    expect(await store.write(upload('a', 'two'))).toMatchObject({ isNew: false });
    expect([await content(store, 'a'), await content(store, 'b'), blobs().length]).toEqual(['two', null, 1]);
  });

  it('that is read while it is replaced is read to its end', async () => {
    const store = await open(1000);
    await store.write(upload('a', 'one'));
    const reading = await store.read('a');
    await store.write(upload('a', 'two'));
    expect(await reading?.file.readFile('utf8')).toBe('one');
    await reading?.file.close();
  });

  it('that many write at once is one of theirs, and takes the room of one', async () => {
    const store = await open(1000);
    const texts = Array.from({ length: 20 }, (_, n) => `text ${n}`);
    await Promise.all(texts.map((text) => store.write(upload('a', text))));
    expect(texts).toContain(await content(store, 'a'));
    expect(blobs()).toHaveLength(1);
    await store.write(upload('b', 'x'.repeat(990)));
  });

  it('that is sent again stays the one that it was', async () => {
    const store = await open(1000);
    const { entry } = await store.write(upload('a', 'one'));
    expect(await store.write(upload('a', 'on', 'e'))).toEqual({ entry, isNew: false });
    expect(blobs()).toEqual([entry.blob]);
  });
});

describe('room', () => {
  const of = (owner: string | null, name: string, size: number): Upload => ({
    ...upload(name, 'x'.repeat(size)),
    owner,
  });
  const none = { status: 507, reason: 'share_used' };

  it('is each customer’s own, over a restart too; the shop has what is left', async () => {
    const store = await open(100, 30);
    await store.write(of('u1', 'a', 20));
    await expect(store.write(of('u1', 'b', 11))).rejects.toMatchObject(none);
    await store.write(of('u1', 'b', 10));
    await store.write(of('u2', 'c', 30));
    const again = await open(100, 30);
    await expect(again.write(of('u1', 'd', 1))).rejects.toMatchObject(none);
    await again.write(of(null, 'shop', 40));
    await expect(again.write(of('u3', 'e', 1))).rejects.toMatchObject({ reason: 'no_space' });
  });

  it('is given back by a removal, and with it the name', async () => {
    const store = await open(100, 30);
    await store.write(of('u1', 'a', 30));
    expect(await store.remove('a', () => undefined)).toBe(true);
    expect([await store.remove('a', () => undefined), await store.find('a'), blobs()]).toEqual([
      false,
      null,
      [],
    ]);
    await store.write(of('u1', 'b', 30));
    await store.write(of('u2', 'a', 30));
    expect((await store.find('a'))?.owner).toBe('u2');
  });

  it('stays the owner’s when an administrator replaces the file, and so does the name', async () => {
    const store = await open(100, 30);
    await store.write(of('u1', 'a', 30));
    await store.write(of('admin', 'a', 20));
    expect((await store.find('a'))?.owner).toBe('u1');
    await expect(store.write(of('u1', 'b', 11))).rejects.toMatchObject(none);
    await store.write(of('admin', 'b', 30));
  });
});

describe('an upload that fails', () => {
  async function* broken() {
    yield Buffer.from('half');
    throw new Error('gone');
  }

  it('leaves what was there, and no bytes', async () => {
    const store = await open(10);
    await store.write(upload('a', 'one'));
    await expect(store.write({ ...upload('a'), body: broken() })).rejects.toThrow('gone');
    expect([await content(store, 'a'), blobs().length]).toEqual(['one', 1]);
    // The room is free again.
    await store.write(upload('b', '1234567'));
  });

  it('because there is no room says so', async () => {
    const store = await open(10);
    const full = store.write(upload('a', '123456', '78901'));
    await expect(full).rejects.toMatchObject({ status: 507, reason: 'no_space' });
    expect(blobs()).toEqual([]);
    await store.write(upload('a', '1234567890'));
    const reopened = await open(10);
    await expect(reopened.write(upload('b', '1'))).rejects.toMatchObject({ status: 507 });
  });

  it('because it is not allowed does not even begin', async () => {
    const store = await open(1000);
    const refuse = () => {
      throw new Error('not yours');
    };
    await expect(store.write({ ...upload('a', 'one'), allow: refuse })).rejects.toThrow('not yours');
    expect(blobs()).toEqual([]);
  });

  it('with its process is cleared away later, and never while another instance may be at it', async () => {
    const store = await open(1000);
    const { entry } = await store.write(upload('a', 'one'));
    for (const name of ['old', 'old.json', 'young']) writeFileSync(join(folder, 'blobs', name), 'half');
    const longAgo = new Date(Date.now() - 2 * 3_600_000);
    for (const name of ['old', 'old.json', entry.blob])
      utimesSync(join(folder, 'blobs', name), longAgo, longAgo);
    const reopened = await open(1000);
    expect(blobs().sort()).toEqual(['young', entry.blob].sort());
    expect(await content(reopened, 'a')).toBe('one');
  });
});

describe('the catalogue’s pictures', () => {
  it('are drawn once; a wrong one is drawn again, a customer’s stays', async () => {
    const store = await open(10_000_000);
    const [first, second] = PRODUCTS.map(({ id }) => pictureOf(id));
    await store.write({ ...upload(first ?? '', '<svg>old</svg>'), owner: null });
    await store.write(upload(second ?? '', '<svg>mine</svg>'));
    await seed(store);
    const after = blobs().sort();
    expect(after).toHaveLength(PRODUCTS.length);
    expect(await content(store, first ?? '')).toMatch(/^<svg xmlns/);
    expect(await content(store, second ?? '')).toBe('<svg>mine</svg>');
    await seed(store);
    expect(blobs().sort()).toEqual(after);
  });
});
