// Asks the heads of a council over a WebSocket and shows who speaks; Node 22, nothing installed.
//   node council.mjs http://127.0.0.1:7717 "Should we move the index?"
// Beyond loopback set TOKEN to what `synod token add` printed.
const [base, prompt] = process.argv.slice(2);
const token = process.env.TOKEN;

async function call(path, body) {
  const reply = await fetch(base + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  const json = await reply.json();
  if (!reply.ok) throw new Error(`${json.error.message}; ${json.error.hint}`);
  return json;
}

const { session_id: session } = await call("/v1/sessions", { title: prompt });
// A WebSocket of a browser sends no header: the token is a protocol beside the one that is spoken.
const protocols = ["synod", ...(token ? [`synod.bearer.${token}`] : [])];
const address = `${base.replace("http", "ws")}/v1/sessions/${session}/stream`;
const socket = new WebSocket(address, protocols);
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
