// A device of ours, served in a process of its own that can be killed and started again.

const SERVE = new URL("./serve.ts", import.meta.url).pathname;
const NOTHING = { read: [], write: [], net: [], env: [], run: [], import: [] };

export interface Served {
  readonly name: string;
  /** URL of the module. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** The disk image, if there is one. */
  readonly path?: string;
  readonly socket: string;
}

export class ServedDevice implements AsyncDisposable {
  readonly #options: Served;
  #child!: Deno.ChildProcess;
  #said: Promise<string> = Promise.resolve("");

  constructor(options: Served) {
    this.#options = options;
  }

  start(): void {
    const { path, ...options } = this.#options;
    const grants = path === undefined
      ? NOTHING
      : { ...NOTHING, read: [path], write: [path] };
    const disk = path === undefined
      ? undefined
      : { field: "path", path, writable: true };
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--quiet", SERVE],
        JSON.stringify({ ...options, builtIn: true, grants, disk }),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#said = new Response(this.#child.stderr).text();
  }

  /** Ends the process; returns its status and what it said. */
  async end(
    signal: "SIGKILL" | "SIGTERM",
  ): Promise<{ code: number; text: string }> {
    this.#child.kill(signal);
    const [{ code }, text] = await Promise.all([
      this.#child.status,
      this.#said,
    ]);
    return { code, text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.end("SIGKILL");
    } catch {
      // It has ended.
    }
  }
}
