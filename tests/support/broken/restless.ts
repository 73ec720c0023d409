// Goes on filling a driver's buffer while the VM is paused.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create() {
    let last: Uint8Array = new Uint8Array(1);
    let ticks = 0;
    let timer: ReturnType<typeof setInterval> | undefined;
    return {
      queues: {
        requestq({ writable, capacity }) {
          last = writable.views()[0] ?? last;
          return writable.fill(0, capacity);
        },
      },
      pause() {
        timer = setInterval(() => last.fill(++ticks), 5);
      },
      resume: () => clearInterval(timer),
    };
  },
});
