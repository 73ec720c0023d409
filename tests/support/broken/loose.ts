// Throws where nobody catches it.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: { requestq: () => 0 },
    activate() {
      setTimeout(() => {
        throw new Error("the timer has no device");
      }, 50);
    },
  }),
});
