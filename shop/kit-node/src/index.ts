// What every service of the shop in TypeScript does alike. The kit of those in Rust is shop/kit; both keep the same contract.
//
// Fastify underneath: validation by JSON Schema, pino's logs, an orderly close and requests without sockets for tests are
// what both services would otherwise write again by hand. Tests: test/.

export { createApp, send, type AppOptions } from './app.ts';
export { callerOf, type Caller } from './caller.ts';
export { Problem, unavailable, type ProblemOptions } from './problem.ts';
export { dataFolder, main, variable } from './serve.ts';
