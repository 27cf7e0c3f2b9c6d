/** Answers in the process come without a turn of the event loop: who works for long gives others theirs. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
