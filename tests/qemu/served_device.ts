// `paddock plugin serve`, which can be killed and started again.

const PADDOCK = new URL("../../main.ts", import.meta.url).pathname;

export interface Served {
  /** A built-in device. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
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
    const { module, options, socket } = this.#options;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--quiet", PADDOCK],
        ...["plugin", "serve", module, "--socket", socket],
        ...["--options", JSON.stringify(options)],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#said = new Response(this.#child.stderr).text();
  }

  get pid(): number {
    return this.#child.pid;
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
