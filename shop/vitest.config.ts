import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
  test: {
    globalSetup: './kit-node/test/build.ts',
    include: ['{kit-node,services/media,services/notifications}/test/**/*.test.{ts,js}'],
    // Real processes and 100 MB: far above what any takes, since nothing here measures speed.
    testTimeout: 60_000,
  },
});
