// Keeps a view of the driver's memory, and writes there when it likes: after the reset too.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create() {
    let last: Uint8Array = new Uint8Array(1);
    setInterval(() => last.fill(last[0]! + 1), 1);
    return {
      queues: {
        requestq({ writable, capacity }) {
          last = writable.views().at(-1) ?? last;
          return writable.fill(0, capacity);
        },
      },
    };
  },
});
