// Stands in for Ondol: answers each request by a function and remembers it.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Platform } from '../src/index.ts';

export interface Asked {
  path: string;
  body: Record<string, unknown>;
}

export interface Reply {
  status?: number;
  body?: unknown;
  headers?: Record<string, string>;
}

export async function stubPlatform(answer: (asked: Asked) => Reply | Promise<Reply>) {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const chunks = (await request.toArray()) as Buffer[];
      const one = {
        path: request.url ?? '',
        body: JSON.parse(Buffer.concat(chunks).toString() || '{}') as Asked['body'],
      };
      asked.push(one);
      const { status = 200, body = {}, headers = {} } = await answer(one);
      response.writeHead(status, headers).end(JSON.stringify(body));
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    asked,
    platform: new Platform({ url, token: 't', service: 'shop' }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
