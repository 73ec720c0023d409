// A front end that makes what it is called or told of errors by blocking and full, behind the back end's back.

import { assert, assertEquals } from "@std/assert";
import { Fd } from "../../../core/sys/fd.ts";
import { libc } from "../../../core/sys/libc.ts";
import { F_SETFL } from "../../../core/sys/linux.ts";
import { BackSide } from "../../support/fake_back_side.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import { FakeGuest, u64 } from "../../support/fake_front_end.ts";
import { builtIn } from "../../support/fake_machine.ts";
import { until, within } from "../../support/wait.ts";

const SET_VRING_CALL = 13;
const SET_VRING_ERR = 14;
const answer = { at: 0x8000, length: 16, write: true };

/** Whoever writes to it waits until its reader has gone. */
class FullPipe implements Disposable {
  readonly reader: Fd;
  readonly writer: Fd;

  constructor() {
    const pipe = new Int32Array(2);
    libc.pipe2(new Uint8Array(pipe.buffer), 0o4000);
    this.reader = new Fd(pipe[0]!);
    this.writer = new Fd(pipe[1]!);
    const chunk = new Uint8Array(4096);
    while (libc.write(this.writer.fd, chunk, chunk.length) > 0);
  }

  /** The flag belongs to what both sides have open. */
  block(): void {
    assertEquals(libc.fcntl(this.writer.fd, F_SETFL, 0), 0);
  }

  [Symbol.dispose](): void {
    this.reader.close();
    this.writer.close();
  }
}

Deno.test("A call descriptor that is full and made blocking keeps nobody from closing the device", async () => {
  const side = await BackSide.start({
    module: builtIn("rng"),
    options: { maxBytes: 100 },
  });
  using pipe = new FullPipe();
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  assert(await front.do(SET_VRING_CALL, u64(0), [pipe.writer]));
  pipe.block();
  ring.add(answer);
  front.kick();
  await front.used(ring, 1);
  await within(side[Symbol.asyncDispose]());
});

Deno.test("An error descriptor that is full and made blocking keeps the device from nothing", async () => {
  await using side = await BackSide.start({
    module: builtIn("rng"),
    options: { maxBytes: 100 },
  });
  using pipe = new FullPipe();
  using guest = new FakeGuest();
  {
    using front = await side.connect(guest);
    await front.introduce();
    const ring = new FakeRing(guest.ram, 8);
    await front.queue(0, ring);
    assert(await front.do(SET_VRING_ERR, u64(0), [pipe.writer]));
    pipe.block();
    // A head that is not below the queue's size.
    ring.publish(9);
    front.kick();
    await until(() => side.driverErrors.length > 0);
  }
  await within(side.served);
  using next = await side.connect(guest);
  await next.introduce();
  const ring = new FakeRing(guest.ram, 8);
  assert(await next.queue(0, ring));
  ring.add(answer);
  next.kick();
  await next.used(ring, 1);
});
