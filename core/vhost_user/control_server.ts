// Thread: main
// The device process's end of its control connection: what the device says waits until the VM is there.
import { waitReadable } from "../sys/readiness.ts";
import type { UnixSocket } from "../sys/unix_socket.ts";
import {
  ControlChannel,
  type FromDevice,
  isToDevice,
  type ToDevice,
} from "./control.ts";

/** Messages that wait at most; what comes later is lost. */
const MOST_WAITING = 1000;

export class ControlServer {
  readonly #socket: UnixSocket;
  readonly #onMessage: (message: ToDevice) => void;
  #channel: ControlChannel<ToDevice, FromDevice> | null = null;
  readonly #waiting: FromDevice[] = [];
  /** What everyone who connects is told first. */
  #declared: FromDevice | null = null;
  #closed = false;
  #cancel: (() => void) | null = null;

  /** Takes over a listening socket. */
  constructor(socket: UnixSocket, onMessage: (message: ToDevice) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    this.#serve();
  }

  async #serve(): Promise<void> {
    while (!this.#closed) {
      const socket = this.#socket.accept();
      if (socket !== null) {
        await this.#talk(new ControlChannel(socket, isToDevice));
        continue;
      }
      const { ready, cancel } = waitReadable(this.#socket);
      this.#cancel = cancel;
      await ready;
      this.#cancel = null;
    }
  }

  async #talk(channel: ControlChannel<ToDevice, FromDevice>): Promise<void> {
    this.#channel = channel;
    if (this.#declared !== null) channel.send(this.#declared);
    for (const message of this.#waiting.splice(0)) channel.send(message);
    try {
      for await (const message of channel.messages()) this.#onMessage(message);
    } catch {
      // Whoever sends what is no message is hung up on.
    }
    this.#channel = null;
  }

  send(message: FromDevice): void {
    if (message.type === "declared") this.#declared = message;
    if (this.#channel !== null) this.#channel.send(message);
    else if (
      message.type !== "declared" && this.#waiting.length < MOST_WAITING
    ) {
      this.#waiting.push(message);
    }
  }

  /** What was sent arrives first. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#channel?.close();
    this.#socket.close();
  }
}
