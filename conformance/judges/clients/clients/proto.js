// The services of `proto/` for grpc-js.
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const load = (name) => {
  const path = fileURLToPath(new URL(`../proto/${name}.proto`, import.meta.url));
  return grpc.loadPackageDefinition(loadSync(path, { defaults: true }));
};

export const interop = load('interop').grpc.testing;
export const witness = load('witness').judge;
