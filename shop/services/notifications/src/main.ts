// Notifications: listens to what happens in the shop, and writes to whom it happens.

import { fileURLToPath } from 'node:url';
import { main, variable } from 'shop-kit-node';
import { notifications } from './app.ts';
import { Mailboxes } from './mailbox.ts';

void main(() => notifications(new Mailboxes(databaseFile(variable('DATABASE_URL')))));

/** The file of `sqlite:///absolute/path`. */
function databaseFile(url: string): string {
  if (!url.startsWith('sqlite:///')) throw new Error(`DATABASE_URL ${url} is no sqlite:///FILE`);
  return fileURLToPath(url.replace(/^sqlite:/, 'file:'));
}
