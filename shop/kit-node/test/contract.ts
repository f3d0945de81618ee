// A service's openapi.yaml held against what the service does: its routes, and the answers of its tests.

import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { FastifyInstance } from 'fastify';
import { parse } from 'yaml';

interface Response {
  content?: Record<string, { schema: object }>;
}

interface Document {
  paths: Record<string, Record<string, { responses?: Record<string, Response | { $ref: string }> }>>;
  components: { responses?: Record<string, Response> };
}

/** The fields of an answer that a contract speaks of; light-my-request's and fetch's are mapped to it. */
export interface Said {
  status: number;
  type: string;
  body: unknown;
}

const METHODS = ['GET', 'PUT', 'POST', 'DELETE'] as const;

export class Contract {
  readonly #document: Document;
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false });

  constructor(file: string) {
    this.#document = parse(readFileSync(file, 'utf8')) as Document;
    this.#ajv.addSchema(this.#document, 'contract');
  }

  /** Operations that the app has no route for, as `GET /api/mailbox`. */
  missingIn(app: FastifyInstance): string[] {
    return Object.entries(this.#document.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => method.toLowerCase() in item)
        .filter((method) => !app.hasRoute({ method, url: path.replaceAll(/\{(\w+)\}/g, ':$1') }))
        .map((method) => `${method} ${path}`),
    );
  }

  /** What is wrong with an answer; null when the contract promises it. */
  objection(operation: string, { status, type, body }: Said): string | null {
    const [method = '', path = ''] = operation.split(' ');
    const promised = this.#document.paths[path]?.[method.toLowerCase()]?.responses?.[String(status)];
    if (!promised) return `${operation} promises no ${status}`;
    const response = '$ref' in promised ? this.#named(promised.$ref) : promised;
    const schema = response.content?.[type]?.schema;
    if (!response.content) return null;
    if (!schema) return `${operation} promises no ${type} with ${status}`;
    const validate = this.#ajv.compile(rooted(schema));
    return validate(body) ? null : `${operation}: ${this.#ajv.errorsText(validate.errors)}`;
  }

  #named(ref: string): Response {
    const name = ref.split('/').at(-1) ?? '';
    const found = this.#document.components.responses?.[name];
    if (!found) throw new Error(`${ref} is not in the contract`);
    return found;
  }
}

/** References inside the document become references to it. */
function rooted(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"contract#/')) as object;
}
