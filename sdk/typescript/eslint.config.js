import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import ts from 'typescript-eslint';

export default defineConfig(
  { ignores: ['dist/'] },
  js.configs.recommended,
  ts.configs.strictTypeChecked,
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    rules: {
      // TypeScript knows which names there are, in JavaScript too.
      'no-undef': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  // The conformance cases are JSON of any shape; tsc reads the driver all the same. Last, so that no typed rule is on.
  { files: ['conformance/*.js'], ...ts.configs.disableTypeChecked },
);
