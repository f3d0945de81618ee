// Media: pictures and other files of the shop and its customers.

import { dataFolder, main, variable } from 'shop-kit-node';
import { media } from './app.ts';
import { seed } from './seed.ts';
import { MediaStore } from './store.ts';

void main(async () => {
  const store = await MediaStore.open(dataFolder(), capacity(variable('MEDIA_CAPACITY')));
  await seed(store);
  return media(store);
});

/** `2GiB` in bytes. */
function capacity(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,6})(MiB|GiB)$/.exec(text) ?? [];
  if (!digits) throw new Error(`MEDIA_CAPACITY ${text} is no size such as 500MiB or 2GiB`);
  return Number(digits) * 1024 ** (unit === 'GiB' ? 3 : 2);
}
