// Media: pictures and other files of the shop and its customers.

import { dataFolder, main, variable } from 'shop-kit-node';
import { media } from './app.ts';
import { seed } from './seed.ts';
import { MediaStore } from './store.ts';

void main(async () => {
  const room = { capacity: size('MEDIA_CAPACITY'), share: size('MEDIA_SHARE') };
  const store = await MediaStore.open(dataFolder(), room);
  const app = media(store);
  // What is there is served all the same: a full disk must not take every picture away.
  await seed(store).catch((error: unknown) => {
    app.log.error({ err: error }, 'the catalogue’s pictures cannot be drawn');
  });
  return app;
});

/** A variable such as `2GiB`, in bytes. */
function size(name: string): number {
  const text = variable(name);
  const [, digits, unit = ''] = /^(\d{1,6})(MiB|GiB)$/.exec(text) ?? [];
  if (!digits) throw new Error(`${name} ${text} is no size such as 500MiB or 2GiB`);
  return Number(digits) * 1024 ** (unit === 'GiB' ? 3 : 2);
}
