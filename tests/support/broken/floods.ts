// Tells its holder about nothing, all the time.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create({ port }) {
    setInterval(() => {
      for (let i = 0; i < 10; i++) port.postMessage("nothing new");
    }, 2);
    return { queues: { requestq: () => 0 } };
  },
});
