// A vhost-user front end, in raw numbers (QEMU docs/interop/vhost-user.rst), over RAM that is a real memfd: what a VMM
// does for its guest's driver, which a test plays too.
import { FileMapping } from "../../core/memory/file_mapping.ts";
import { EventFd, Fd, signalEventFd } from "../../core/sys/fd.ts";
import { cString, libc } from "../../core/sys/libc.ts";
import type { Connection } from "../../core/vhost_user/connection.ts";
import type { FakeRam, FakeRing, Used } from "./fake_driver.ts";
import type { FakePackedRing } from "./fake_packed_ring.ts";
import { PATIENCE_MS, until, within } from "./wait.ts";

const MiB = 1 << 20;
/** Where the front end has RAM in its own address space. */
export const USER = 0x7f00_0000_0000;
/** GPA of the second region; it is the second MiB of the file. */
export const HIGH = 0x1_4000_0000;

export const VERSION_1 = 1n << 32n;
export const PACKED = 1n << 34n;
const PROTOCOL_FEATURES = 1n << 30n;
const NEED_REPLY = 8;

export const u64 = (value: bigint | number): Uint8Array =>
  new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
export const u32s = (...values: number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(values).buffer);
export const u64s = (...values: (bigint | number)[]): Uint8Array =>
  new Uint8Array(
    BigUint64Array.from(values.map((each) => BigInt(each))).buffer,
  );

/** An anonymous file of `size` bytes. */
export function memfd(size: number): Fd {
  const fd = new Fd(libc.memfd_create(cString("test"), 1));
  libc.ftruncate(fd.fd, BigInt(size));
  return fd;
}

/** What outlives a back end: guest RAM, its rings, and the record of what is in flight. */
export class FakeGuest implements Disposable {
  readonly memfd = memfd(2 * MiB);
  readonly #mapping = new FileMapping([
    { fd: this.memfd, offset: 0, size: 2 * MiB },
  ]);
  readonly ram: FakeRam = {
    buffer: this.#mapping.buffer,
    byteOffset: this.#mapping.byteOffset,
    size: 2 * MiB,
    regions: [],
  };
  readonly bytes = new Uint8Array(
    this.ram.buffer,
    this.ram.byteOffset,
    2 * MiB,
  );
  inflight: { readonly description: Uint8Array; readonly fd: Fd } | null = null;

  [Symbol.dispose](): void {
    this.inflight?.fd.close();
    this.#mapping.close();
    this.memfd.close();
  }
}

export class FakeFrontEnd implements Disposable {
  readonly guest: FakeGuest;
  readonly connection: Connection;
  /** Of each queue that was set up. */
  readonly kicks: EventFd[] = [];
  readonly calls: EventFd[] = [];
  readonly errors: EventFd[] = [];

  constructor(guest: FakeGuest, connection: Connection) {
    this.guest = guest;
    this.connection = connection;
  }

  tell(request: number, payload?: Uint8Array, fds: readonly Fd[] = []): void {
    this.connection.send(request, payload, fds);
  }

  /** The payload of the answer. */
  async ask(request: number, payload?: Uint8Array): Promise<Uint8Array> {
    this.tell(request, payload);
    using reply = await within(this.connection.receive());
    if (reply?.request !== request || reply.flags !== 5) {
      throw new Error(`no reply to ${request}: ${reply?.request}`);
    }
    return reply.payload;
  }

  /** Whether the back end could do it, as it says by REPLY_ACK. */
  async do(
    request: number,
    payload?: Uint8Array,
    fds: readonly Fd[] = [],
  ): Promise<boolean> {
    this.connection.send(request, payload, fds, NEED_REPLY);
    using reply = await within(this.connection.receive());
    if (reply?.request !== request) throw new Error(`no reply to ${request}`);
    return new DataView(reply.payload.buffer).getBigUint64(0, true) === 0n;
  }

  /** Resolves once the back end has hung up. */
  async hungUp(): Promise<void> {
    using message = await within(this.connection.receive());
    if (message !== null) throw new Error(`message ${message.request}`);
  }

  /** To where queues can be set up. */
  async introduce(
    features = VERSION_1,
  ): Promise<void> {
    this.tell(3); // SET_OWNER
    this.tell(16, await this.ask(15)); // all of the protocol features
    this.tell(2, u64(features | PROTOCOL_FEATURES));
    await this.setMemory();
    const { inflight } = this.guest;
    if (inflight !== null) {
      await this.do(32, inflight.description, [inflight.fd]);
    }
  }

  /** Two regions with a hole between them. */
  setMemory(): Promise<boolean> {
    const table = new Uint8Array([
      ...u32s(2, 0),
      ...u64s(0, MiB, USER, 0),
      ...u64s(HIGH, MiB, USER + 0x100_0000, MiB),
    ]);
    return this.do(5, table, [this.guest.memfd, this.guest.memfd]);
  }

  /** Has the back end make the record of what is in flight, and gives it back. */
  async makeInflight(queues: number, size: number): Promise<Uint8Array> {
    const asked = new Uint8Array([
      ...u64s(0, 0),
      ...u32s(queues | size << 16, 0),
    ]);
    this.tell(31, asked);
    using reply = (await within(this.connection.receive()))!;
    const [fd] = reply.takeFds(1);
    this.guest.inflight = { description: reply.payload, fd: fd! };
    await this.do(32, reply.payload, [fd!]);
    return reply.payload;
  }

  /** Sets a split queue up and starts it. */
  async queue(index: number, ring: FakeRing, base = 0): Promise<boolean> {
    return await this.start(
      index,
      ring.size,
      [ring.desc, ring.used, ring.avail],
      base,
    );
  }

  async packedQueue(
    index: number,
    ring: FakePackedRing,
    base = 0x8000_8000,
  ): Promise<boolean> {
    return await this.start(
      index,
      ring.size,
      [ring.desc, ring.deviceEvent, ring.driverEvent],
      base,
    );
  }

  /** Addresses are of the RAM file: descriptors, what the device writes, what the driver writes. */
  async start(
    index: number,
    size: number,
    places: readonly number[],
    base: number,
  ): Promise<boolean> {
    const [kick, call, error] = [new EventFd(), new EventFd(), new EventFd()];
    this.kicks[index] = kick;
    this.calls[index] = call;
    this.errors[index] = error;
    this.tell(8, u32s(index, size)); // SET_VRING_NUM
    this.tell(10, u32s(index, base));
    this.tell(
      9,
      new Uint8Array([
        ...u32s(index, 0),
        ...u64s(...places.map((at) => USER + at), 0),
      ]),
    );
    this.tell(13, u64(index), [call]);
    this.tell(14, u64(index), [error]);
    await this.do(12, u64(index), [kick]);
    return await this.do(18, u32s(index, 1)); // SET_VRING_ENABLE
  }

  /** GET_VRING_BASE: stops the queue and returns where it goes on. */
  async stop(index: number): Promise<number> {
    const state = await this.ask(11, u32s(index, 0));
    return new DataView(state.buffer).getUint32(4, true);
  }

  kick(index = 0): void {
    signalEventFd(this.kicks[index]!.fd);
  }

  /** Times that an eventfd was signalled since this was last asked. */
  taken(fd: EventFd): number {
    const bytes = new Uint8Array(8);
    const length = libc.read(fd.fd, bytes, 8);
    return length < 0
      ? 0
      : Number(new DataView(bytes.buffer).getBigUint64(0, true));
  }

  /** Waits until the device has given back `count` chains. */
  async used(
    ring: { takeUsed(): Used[] },
    count: number,
    ms = PATIENCE_MS,
  ): Promise<Used[]> {
    const all: Used[] = [];
    await until(
      () => {
        all.push(...ring.takeUsed());
        return all.length >= count;
      },
      `${count} chains`,
      ms,
    );
    return all;
  }

  /** Waits for a call of the queue. */
  called(index = 0): Promise<void> {
    return until(() => this.taken(this.calls[index]!) > 0);
  }

  [Symbol.dispose](): void {
    this.connection.close();
    for (const fd of [...this.kicks, ...this.calls, ...this.errors]) {
      fd?.close();
    }
  }
}
