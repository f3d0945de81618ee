// What a page costs, from the browser's own trace.
//
// It is the processor time of the page's thread: that says what the console costs, also on a machine that is busy with other
// things, where the time on the wall says something else.

import assert from 'node:assert/strict';

/** @import { Page } from 'playwright-core' */

/**
 * Tasks on the page's thread while `work` goes on: the longest one and all together, in milliseconds of processor time.
 *
 * @param {Page} page
 * @param {() => Promise<void>} work
 */
export async function traced(page, work) {
  const session = await page.context().newCDPSession(page);
  /** @type {any[]} */
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => void events.push(...value));
  await session.send('Tracing.start', {
    traceConfig: {
      includedCategories: ['toplevel', '__metadata'],
    },
  });
  await work();
  const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
  await session.send('Tracing.end');
  await complete;
  const main = events.find(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain');
  const tasks = events.filter(
    ({ name, tid, pid, tdur }) => name.endsWith('RunTask') && tid === main?.tid && pid === main.pid && tdur,
  );
  assert.ok(tasks.length > 20, 'the trace has the tasks of the page');
  const times = tasks.map(({ tdur }) => tdur / 1000);
  return { longest: Math.max(...times), sum: times.reduce((sum, time) => sum + time, 0) };
}
