// Asks the heads of a council over a WebSocket and shows who speaks; Node 22, nothing installed.
//   node council.mjs http://127.0.0.1:7717 "Should we move the index?"
const [base, prompt] = process.argv.slice(2);

async function call(path, body) {
  const reply = await fetch(base + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const json = await reply.json();
  if (!reply.ok) throw new Error(`${json.error.message}; ${json.error.hint}`);
  return json;
}

const { session_id: session } = await call("/v1/sessions", { title: prompt });
const socket = new WebSocket(`${base.replace("http", "ws")}/v1/sessions/${session}/stream`);
socket.onopen = () => socket.send(JSON.stringify({ prompt, heads: ["logic", "cost"] }));
socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  switch (event.type) {
    case "head_complete":
      console.log(`${event.head_id}: ${event.summary}`);
      break;
    case "complete":
      console.log(`answer: ${event.final_answer}`);
      console.log(`trust:  ${event.confidence_score}`);
      socket.close();
      break;
    case "error":
      console.error(event.message);
      process.exitCode = 1;
      socket.close();
  }
};
