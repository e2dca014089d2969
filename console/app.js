// The status page: shows what is indexed and lets a person try a search.
// Everything shown is set as text, never as markup: notes are data.

const $ = (id) => document.getElementById(id);
const REFRESH_MS = 2000;

// Whoever is asked for a token and gives none is not asked again before they want to be.
let declined = false;
let next;

function token() {
  return sessionStorage.getItem("token");
}

function givesToken() {
  if (declined) return false;
  const given = prompt("This server needs a token")?.trim();
  if (given) sessionStorage.setItem("token", given);
  declined = !given;
  $("token").hidden = !declined;
  return !declined;
}

async function ask(path) {
  const sent = token();
  const headers = sent ? { authorization: `Bearer ${sent}` } : {};
  const response = await fetch(path, { headers });
  const body = await response.json();
  // Another call may have been given one meanwhile.
  if (response.status === 401 && (token() !== sent || givesToken())) return ask(path);
  if (!response.ok) {
    throw new Error([body.error.message, body.error.hint].filter(Boolean).join("; "));
  }
  return body;
}

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) td.className = className;
}

function meaning(embedding) {
  if (!embedding) return "searched by words";
  const share = Math.floor(embedding.coverage * 100);
  const left = embedding.seconds_left ? `, ${embedding.seconds_left} s left` : "";
  return share === 100 ? "searched by words and meaning" : `${share} % embedded${left}`;
}

function showStatus(status) {
  const jobs = (status.jobs ?? []).map((job) =>
    job.total ? `${job.state} ${job.done} of ${job.total} files` : job.state);
  const run = status.indexing ?? {};
  if (run.total) {
    const left = run.seconds_left === undefined ? "" : `, ${run.seconds_left} s left`;
    jobs.push(`reading ${run.source}: ${run.done} of ${run.total} files${left}`);
  }
  if (run.reads_only) jobs.push(run.reads_only);
  if (status.embedding?.warning) jobs.push(status.embedding.warning);
  const state = status.fresh ? "up to date" : `${status.pending} files pending`;
  $("state").textContent = [
    `${status.documents} documents, ${status.chunks} passages`, state, meaning(status.embedding), ...jobs,
  ].join(" · ");
  $("sources").replaceChildren();
  $("errors").replaceChildren();
  for (const source of status.sources) {
    const row = $("sources").insertRow();
    cell(row, source.name);
    cell(row, source.kind);
    cell(row, source.path);
    cell(row, source.documents, "number");
    cell(row, source.chunks, "number");
    cell(row, source.n_errors, "number");
    for (const error of source.errors) {
      const item = document.createElement("li");
      item.textContent = `${source.name}/${error.path}: ${error.reason}`;
      $("errors").append(item);
    }
  }
}

function hitItem(hit) {
  const item = document.createElement("li");
  const title = document.createElement("strong");
  title.textContent = hit.heading && hit.heading !== hit.title ? `${hit.title} › ${hit.heading}` : hit.title;
  const place = document.createElement("p");
  place.className = "place";
  place.textContent = `${hit.source} / ${hit.path}:${hit.lines[0]}-${hit.lines[1]}`;
  const text = document.createElement("pre");
  text.textContent = hit.snippet;
  item.append(title, place, text);
  return item;
}

async function search(event) {
  event.preventDefault();
  const query = $("query").value;
  try {
    const found = await ask(`/v1/search?query=${encodeURIComponent(query)}`);
    $("notes").textContent = [`${found.total} documents match`, ...(found.notes ?? [])].join(" · ");
    $("hits").replaceChildren(...found.hits.map(hitItem));
  } catch (error) {
    $("notes").textContent = error.message;
    $("hits").replaceChildren();
  }
}

async function refresh() {
  clearTimeout(next);
  try {
    showStatus(await ask("/v1/index"));
  } catch (error) {
    $("state").textContent = error.message;
  }
  clearTimeout(next);
  // Without a token every answer is the same refusal.
  if (!declined) next = setTimeout(refresh, REFRESH_MS);
}

$("mcp").textContent = `${location.origin}/mcp`;
$("search").addEventListener("submit", search);
$("token").addEventListener("click", () => {
  declined = false;
  $("token").hidden = true;
  refresh();
});
refresh();
