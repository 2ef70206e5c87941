/** Lets everything happen that is queued already, and what follows from it, as long as no timer is needed. */
export async function settle(rounds = 4): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
