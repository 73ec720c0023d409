// A client of a console that is a WebSocket.

import { within } from "./wait.ts";

/** A port of loopback that nobody uses. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

export class Typist implements AsyncDisposable {
  /** All that came. */
  seen = "";
  readonly closed: Promise<CloseEvent>;
  readonly #socket: WebSocket;
  #changed = Promise.withResolvers<void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const decoder = new TextDecoder();
    socket.onmessage = ({ data }) => {
      this.seen += decoder.decode(data, { stream: true });
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    };
    this.closed = new Promise((resolve) => socket.onclose = resolve);
  }

  static async connect(url: string): Promise<Typist> {
    const socket = new WebSocket(url);
    const typist = new Typist(socket);
    await within(
      new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = (event) =>
          reject(new Error((event as ErrorEvent).message));
      }),
      60_000,
    );
    return typist;
  }

  /** A client that shakes hands and then reads nothing at all. */
  static async connectIdle(address: string): Promise<AsyncDisposable> {
    const [hostname = "", port] = address.split(":");
    const socket = await Deno.connect({ hostname, port: Number(port) });
    const request = [
      "GET / HTTP/1.1",
      `Host: ${address}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "\r\n",
    ].join("\r\n");
    await socket.write(new TextEncoder().encode(request));
    await socket.read(new Uint8Array(16));
    return {
      [Symbol.asyncDispose]: () => Promise.resolve(socket.close()),
    };
  }

  type(data: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(data);
  }

  /** Waits until what came fulfils a condition. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#changed.promise;
  }

  /** Waits until `text` has come. */
  async sees(text: string, ms = 3000): Promise<void> {
    try {
      await within(this.until(() => this.seen.includes(text)), ms);
    } catch {
      throw new Error(`No "${text}" in:\n${this.seen}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}
