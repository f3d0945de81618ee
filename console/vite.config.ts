import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  build: {
    // `dist/.gitignore` stays, so that cargo has a folder to look at; scripts/pack.js empties the rest.
    emptyOutDir: false,
    target: 'es2023',
    modulePreload: { polyfill: false },
    // A font or picture inlined as `data:` would be one more thing for the policy to allow.
    assetsInlineLimit: 0,
  },
  // A controller to develop against: `ONDOL=http://127.0.0.1:7070 npm run dev`, signed in at that address before.
  server: { proxy: { '/v1': { target: process.env['ONDOL'] ?? 'http://127.0.0.1:7070' } } },
  test: { include: ['src/**/*.test.ts'] },
});
