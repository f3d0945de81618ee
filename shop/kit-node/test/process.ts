// A service as a process of its own, on a port of its own, for tests that kill it.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export class ServiceProcess {
  readonly url: string;
  readonly process: ChildProcess;
  /** What it has printed. */
  output = '';

  private constructor(url: string, process: ChildProcess) {
    this.url = url;
    this.process = process;
    for (const stream of [process.stdout, process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
  }

  /** Starts `command` with a free PORT and waits until /health answers. */
  static async start(command: string[], env: Record<string, string>, cwd: string): Promise<ServiceProcess> {
    const port = await freePort();
    const [program = '', ...args] = command;
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env, PORT: String(port) } });
    const service = new ServiceProcess(`http://127.0.0.1:${port}`, child);
    while (!(await service.#healthy())) {
      if (child.exitCode !== null) throw new Error(`the service ended: ${service.output}`);
      await pause(20);
    }
    return service;
  }

  /** Sends the signal and waits for the end; the exit code, null when the signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return this.process.exitCode;
    this.process.kill(signal);
    const [code] = (await once(this.process, 'exit')) as [number | null];
    return code;
  }

  async #healthy(): Promise<boolean> {
    return fetch(`${this.url}/health`).then(
      (response) => response.ok,
      () => false,
    );
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
