// Thread: main
// The user's terminal while a guest has it: raw mode, the Ctrl-A escape, the size, and its way back.
import type { ConsoleStream } from "../device/console_stream.ts";

const CTRL_A = 0x01;
const X = "x".charCodeAt(0);

/** What a chunk of typing means: bytes for the guest, and whether the user wants out. */
export interface Typed {
  readonly bytes: Uint8Array;
  readonly quit: boolean;
}

/** Takes `Ctrl-A x` (leave) and `Ctrl-A Ctrl-A` (one Ctrl-A) out of what is typed. */
export class EscapeFilter {
  #escaped = false;

  filter(chunk: Uint8Array): Typed {
    const bytes: number[] = [];
    for (const byte of chunk) {
      if (!this.#escaped && byte === CTRL_A) {
        this.#escaped = true;
        continue;
      }
      if (this.#escaped && byte === X) {
        return { bytes: Uint8Array.from(bytes), quit: true };
      }
      // Anything else after Ctrl-A goes to the guest as it was typed; a second Ctrl-A stands for one.
      if (this.#escaped && byte !== CTRL_A) bytes.push(CTRL_A);
      this.#escaped = false;
      bytes.push(byte);
    }
    return { bytes: Uint8Array.from(bytes), quit: false };
  }
}

/** Raw mode from now to dispose. Without a terminal it does nothing. */
export class Terminal implements Disposable {
  readonly interactive: boolean = Deno.stdin.isTerminal() &&
    Deno.stdout.isTerminal();
  #resize: (() => void) | null = null;

  /** Gives the terminal to `console`: its size now and whenever it changes. */
  attach(console: ConsoleStream | null): void {
    if (!this.interactive) return;
    Deno.stdin.setRaw(true);
    if (console === null) return;
    const resize = () => {
      const { columns, rows } = Deno.consoleSize();
      console.resize(columns, rows);
    };
    resize();
    this.#resize = resize;
    Deno.addSignalListener("SIGWINCH", resize);
  }

  /** Calls `onBytes` with what is typed until stdin ends; `onQuit` on Ctrl-A x. */
  async read(
    onBytes: (bytes: Uint8Array) => Promise<void>,
    onQuit: () => void,
  ): Promise<void> {
    const escape = new EscapeFilter();
    for await (const chunk of Deno.stdin.readable) {
      const { bytes, quit } = this.interactive
        ? escape.filter(chunk)
        : { bytes: chunk, quit: false };
      if (bytes.length > 0) await onBytes(bytes);
      if (quit) return onQuit();
    }
  }

  [Symbol.dispose](): void {
    if (!this.interactive) return;
    Deno.stdin.setRaw(false);
    if (this.#resize !== null) {
      Deno.removeSignalListener("SIGWINCH", this.#resize);
    }
  }
}
