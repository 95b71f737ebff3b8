// The page shows each frame of the stream. What comes from the program is set as
// textContent, never as markup.
'use strict';

const $ = (selector, root = document) => root.querySelector(selector);
const setText = (e, text) => { if (e.textContent !== text) e.textContent = text; };

// duration writes seconds.
function duration(s) {
  const a = Math.abs(s);
  if (!a) return '';
  if (a < 1e-6) return Math.round(s * 1e9) + ' ns';
  if (a < 1e-3) return (s * 1e6).toFixed(a < 1e-5 ? 1 : 0) + ' µs';
  if (a < 1) return (s * 1e3).toFixed(a < 1e-2 ? 1 : 0) + ' ms';
  if (a < 120) return s.toFixed(1) + ' s';
  if (a < 7200) return (s / 60).toFixed(0) + ' min';
  return a < 172800 ? (s / 3600).toFixed(0) + ' h' : (s / 86400).toFixed(0) + ' days';
}
const p50p99 = (what, q) => q.p99 ? `${what} p50 ${duration(q.p50)}, p99 ${duration(q.p99)}` : '';

// ---- the dialog ----

function show(title, text) {
  $('#dialog h2').textContent = title;
  $('#dialog pre').textContent = text;
  if (!$('#dialog').open) $('#dialog').showModal();
}
$('#dialog .close').onclick = () => $('#dialog').close();

// showAnswer shows what the server answers, below what is known already.
async function showAnswer(title, known, url) {
  show(title, known + 'asking …');
  let text;
  try {
    text = await (await fetch(url)).text();
  } catch (e) {
    text = 'no answer: ' + e.message;
  }
  show(title, known + text);
}

// ---- queues ----

const cards = new Map(); // by queue: { root, depths, rates }

function newCard(queue) {
  const root = $('#card').content.firstElementChild.cloneNode(true);
  root.id = 'q-' + queue;
  $('.name', root).textContent = queue;
  $('.stack', root).onclick = () => showAnswer(`What the ${queue} queue is at`, '', 'stack?queue=' + queue);
  $('.pause', root).onclick = e => control(e.target, queue);
  $('#queues').append(root);
  const card = { root, depths: new Chart($('.depths', root), ['depth'], 74, false), rates: new Chart($('.rates', root), ['in', 'out'], 92, true) };
  cards.set(queue, card);
  return card;
}

// control pauses or resumes a queue. A pause takes a second click within 3 s: an engine
// must not stand still for a slip of the hand.
async function control(button, queue) {
  const action = button.dataset.action;
  if (action === 'pause' && !button.classList.contains('armed')) {
    button.classList.add('armed');
    setTimeout(() => button.classList.remove('armed'), 3000);
    button.textContent = 'click again to pause';
    return;
  }
  button.classList.remove('armed');
  const answer = await fetch(`${action}?queue=${queue}`, { method: 'POST' });
  if (!answer.ok) show(`The ${queue} queue was not changed`, await answer.text());
}

function showQueue(q, f) {
  const { root, depths, rates } = cards.get(q.name) || newCard(q.name);
  setText($('.depth', root), `${q.depth} of ${q.capacity}, highest ${q.highWater}` + (q.deferred ? `, ${q.deferred} deferred` : ''));
  $('.bar i', root).style.width = 100 * q.depth / q.capacity + '%';
  $('.bar b', root).style.left = `calc(${100 * q.highWater / q.capacity}% - 2px)`;
  $('.paused', root).hidden = !q.paused;
  const button = $('.pause', root);
  button.hidden = !f.controls;
  button.dataset.action = q.paused ? 'resume' : 'pause';
  if (!button.classList.contains('armed')) setText(button, button.dataset.action);
  showCall(root, q.calling);
  setText($('.facts', root), [`${short(q.in)}/s in, ${short(q.out)}/s out`, p50p99('wait', q.wait), q.oldest ? `oldest waits ${duration(q.oldest)}` : '', q.overflow]
    .filter(Boolean).join(' · '));
  setText($('.waits', root), q.waiting ? `${q.waiting} ${q.waiting === 1 ? 'publish waits' : 'publishes wait'} for room, the longest for ${duration(q.longestWait)}` : '');
  setText($('.losses', root), q.losses.map(l => `${l.reason} ${short(l.count)}`).join(' · '));
  depths.add(f.at / 1000, q.depth);
  rates.add(f.at / 1000, f.first ? null : q.in, f.first ? null : q.out);
}

// showCall shows the call at hand. One that has lasted since the frame before is slow.
function showCall(root, c) {
  const slow = c !== null && c.for > 0.4;
  root.classList.toggle('slow', slow);
  $('.call', root).classList.toggle('warn', slow);
  setText($('.call', root), c === null ? 'at no handler' : slow ? `${c.handler} has been at ${c.type} for at least ${duration(c.for)}` : `${c.handler} at ${c.type}`);
}

// ---- tables ----

// rows shows list in a table, a row an item, and keeps the rows that are there: so a
// selection and a button under the mouse stay. A cell is a text with a class; with an
// action it is a button.
function rows(table, list, cells) {
  const body = table.tBodies[0];
  while (body.rows.length > list.length) body.lastElementChild.remove();
  list.forEach((item, i) => {
    const row = body.rows[i] || body.insertRow();
    cells(item).forEach(([text, style, action], j) => {
      const cell = row.cells[j] || row.insertCell();
      const at = action && text ? cell.firstElementChild || cell.appendChild(document.createElement('button')) : cell;
      setText(at, text);
      at.onclick = action || null;
      if (cell.className !== (style || '')) cell.className = style || '';
    });
  });
  const empty = $('.empty', table.closest('section'));
  if (empty) { empty.hidden = list.length > 0; table.hidden = list.length === 0; }
}

const showHandlers = f => {
  $('#handlers').classList.toggle('no-root', !f.handlers.some(h => h.fromRoot.p99));
  setText($('#hidden'), f.hidden ? `and ${f.hidden} more` : '');
  rows($('#handlers'), f.handlers, h => [
    [h.name], [h.type || '(all)'], [short(h.rate), 'n'], [short(h.calls), 'n wide'],
    [short(h.failed) + (h.panicked ? `, ${short(h.panicked)} panics` : ''), h.failed ? 'n bad' : 'n'],
    [duration(h.took.p50), 'n'], [duration(h.took.p99), 'n'], [duration(h.fromRoot.p50), 'n root'], [duration(h.fromRoot.p99), 'n root'],
    [h.disabled ? 'disabled' : '', 'bad']]);
};

const showFailures = f => rows($('#failures'), f.failures, x => [
  [new Date(x.at).toLocaleTimeString([], { hour12: false }), 'id'], [short(x.count), 'n'], [nameOf(x.queue, x.seq), 'id wide'], [x.type, 'wide'], [x.handler || '(expired)'],
  [(x.panicked ? 'panic: ' : '') + x.error, 'text bad'],
  ['trace', 'id', () => showFailure(x)]]);

function showFailure(x) {
  const title = `${x.type} at ${x.handler || 'no handler'}`, text = [x.error, '', ...chain(x)].join('\n');
  if (x.panicked) showAnswer(title, text + '\n\n', 'failure?id=' + x.id);
  else show(title, text);
}

// ---- events and their causes ----

const seen = new Map(); // samples by queue and number, the last few thousand
const nameOf = (queue, seq) => seq ? `${queue} #${seq}` : queue; // an expired event has no number
const describe = e => `${nameOf(e.queue, e.seq)}  ${e.type}` + (e.source ? `  from ${e.source}` : '') + (e.payload ? `\n    ${e.payload}` : '');

function remember(events) {
  for (const e of events) seen.set(nameOf(e.queue, e.seq), e);
  for (const key of seen.keys()) {
    if (seen.size <= 5000) break;
    seen.delete(key);
  }
}

// chain returns the lines that lead from e back to its root. What lies between is known
// where it is in the sample; the root always is.
function chain(e) {
  const lines = [describe(e)];
  let c = e.cause;
  if (!c) return [...lines, '← from outside, or the bus has no WithCauses'];
  for (; c.hops > 1; ) {
    const parent = seen.get(nameOf(c.queue, c.seq));
    lines.push('← ' + (parent ? describe(parent) : nameOf(c.queue, c.seq) + ', not in the sample'));
    if (!parent || !parent.cause) {
      if (c.hops > 2) lines.push(`← ${c.hops - 2} more`);
      break;
    }
    c = parent.cause;
  }
  const root = e.cause.root, known = seen.get(nameOf(root.queue, root.seq));
  lines.push('← ' + (known ? describe(known) : `${nameOf(root.queue, root.seq)}  ${root.type}`));
  if (root.before !== undefined) lines.push('', `The first is ${duration(root.before) || '0 s'} older than the last, by the events' times.`);
  return lines;
}

let held = false;
$('#hold').onclick = e => { held = !held; e.target.setAttribute('aria-pressed', held); };

function showEvents(f) {
  remember(f.events);
  if (held) return;
  const only = $('#only').value;
  const list = ['order', 'signal', 'data'].filter(q => !only || q === only)
    .flatMap(q => f.events.filter(e => e.queue === q).slice(0, only ? 40 : 10));
  rows($('#events'), list, e => [
    [nameOf(e.queue, e.seq), 'id'], [e.type], [e.source, 'wide'], [e.age === undefined ? '' : duration(e.age), 'n'], [e.payload || '', 'text'],
    [e.cause ? 'trace' : '', 'id', e.cause ? () => show('Where it comes from', chain(e).join('\n')) : null]]);
}

// ---- the stream ----

let stream = null;

// open opens the stream. A browser opens it again by itself when the connection breaks, but
// not when the server refuses it.
function open() {
  stream?.close();
  if (document.hidden) return;
  stream = new EventSource('stream');
  stream.onmessage = m => showFrame(JSON.parse(m.data));
  stream.onerror = () => {
    setText($('#state'), 'no connection');
    $('#state').classList.add('bad');
    if (stream.readyState === EventSource.CLOSED) setTimeout(open, 3000);
  };
}

function showFrame(f) {
  setText($('#state'), f.closed ? 'shut down' : f.running ? 'running' : 'stopped');
  $('#state').classList.toggle('bad', !f.running);
  $('#abandoned').hidden = !f.abandoned;
  setText($('#abandoned'), `${f.abandoned} abandoned calls still run`);
  setText($('#mode'), f.controls ? '' : 'read-only');
  for (const q of f.queues) showQueue(q, f);
  showHandlers(f);
  showFailures(f);
  showEvents(f);
}

// A tab in the background does not look: the bus need not pay for it.
document.addEventListener('visibilitychange', open);
open();
