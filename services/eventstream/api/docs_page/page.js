// Renders /openapi.json: operations with examples and a form to try each. Everything that comes
// from the document or from an answer is set as text, never as HTML.
"use strict";

const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

// Text with `names` in it, as in the document's descriptions: the names become code.
const withCode = (text) => text.split("`").map((part, place) =>
  place % 2 ? make("code", { textContent: part }) : part);

const resolve = (api, schema) => {
  if (!schema || !schema.$ref) return schema || {};
  return schema.$ref.split("/").slice(1).reduce((node, part) => node[part], api);
};

const exampleOf = (api, schema, depth = 0) => {
  const known = resolve(api, schema);
  if (depth > 6) return null;
  if (known.examples && known.examples.length) return known.examples[0];
  if (known.default !== undefined) return known.default;
  if (known.const !== undefined) return known.const;
  if (known.enum) return known.enum[0];
  if (known.anyOf) return exampleOf(api, known.anyOf[0], depth + 1);
  if (known.type === "array") return [exampleOf(api, known.items, depth + 1)];
  if (known.properties) {
    return Object.fromEntries(
      Object.entries(known.properties).map(([name, part]) => [name, exampleOf(api, part, depth + 1)]),
    );
  }
  return { string: "…", number: 0, integer: 0, boolean: true, object: {} }[known.type] ?? null;
};

const typeOf = (api, schema) => {
  const known = resolve(api, schema);
  if (known.enum) return known.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (known.anyOf) return known.anyOf.map((part) => typeOf(api, part)).join(" | ");
  if (known.type === "array") return `list of ${typeOf(api, known.items)}`;
  const bounds = [
    ["minimum", "≥ "], ["maximum", "≤ "], ["minLength", "length ≥ "], ["maxLength", "length ≤ "],
  ].filter(([name]) => known[name] !== undefined).map(([name, sign]) => sign + known[name]);
  return [known.type || known.title || "any", ...bounds].join(", ");
};

const fieldTable = (api, schema) => {
  const known = resolve(api, schema);
  if (!known.properties) return null;
  const required = new Set(known.required || []);
  return make("table", {}, ...Object.entries(known.properties).map(([name, part]) =>
    make("tr", {},
      make("td", {}, make("code", { textContent: name + (required.has(name) ? " *" : "") })),
      make("td", { className: "soft", textContent: typeOf(api, part) }),
      make("td", {}, ...withCode(part.description || "")))));
};

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const asCurl = (method, url, headers, body) => [
  `curl -X ${method} ${quoted(new URL(url, location.href).href)}`,
  ...Object.entries(headers).map(([name, value]) =>
    name === "Authorization" ? '-H "Authorization: Bearer $API_KEY"' : `-H ${quoted(`${name}: ${value}`)}`),
  ...(body === undefined ? [] : [`-d ${quoted(body)}`]),
].join(" \\\n  ");

const tryForm = (api, path, method, operation) => {
  const inputs = (operation.parameters || []).map((parameter) => {
    const input = make("input", { required: Boolean(parameter.required), placeholder: typeOf(api, parameter.schema) });
    const text = `${parameter.name}${parameter.required ? " *" : ""} — ${parameter.description || parameter.in}`;
    return { parameter, input, node: make("label", {}, ...withCode(text), input) };
  });
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content && make("textarea", {
    rows: 8, spellcheck: false, value: JSON.stringify(exampleOf(api, content.schema), null, 2),
  });
  const button = make("button", { textContent: "Send" });
  const output = make("div");
  const form = make("form", {}, ...inputs.map((entry) => entry.node),
    body ? make("label", {}, "Body", body) : null, button, output);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") {
        const value = input.value.split("/").map(encodeURIComponent).join("/");
        url = url.replace(`{${parameter.name}}`, value);
      } else if (input.value !== "" && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value !== "") headers[parameter.name] = input.value;
    }
    if (query.size) url += `?${query}`;
    const key = document.getElementById("key").value;
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body) headers["Content-Type"] = "application/json";
    button.disabled = true;
    const began = performance.now();
    try {
      const answer = await fetch(url, { method: method.toUpperCase(), headers, body: body && body.value });
      let text = await answer.text();
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
      const took = Math.round(performance.now() - began);
      output.replaceChildren(
        make("p", { className: answer.ok ? "good" : "bad", textContent: `${answer.status} ${answer.statusText} in ${took} ms` }),
        make("pre", { textContent: text }),
        make("pre", { className: "soft", textContent: asCurl(method.toUpperCase(), url, headers, body && body.value) }));
    } catch (error) {
      output.replaceChildren(make("p", { className: "bad", textContent: `The API did not answer: ${error.message}` }));
    } finally {
      button.disabled = false;
    }
  });
  return form;
};

const answers = (api, operation) => make("table", {}, ...Object.entries(operation.responses).map(
  ([status, answer]) => {
    const [type, media] = Object.entries(answer.content || {})[0] || [];
    const shown = media && type === "application/json"
      ? make("details", {}, make("summary", { textContent: "example" }),
        make("pre", { textContent: JSON.stringify(media.example ?? exampleOf(api, media.schema), null, 2) }))
      : null;
    return make("tr", {}, make("td", {}, make("code", { textContent: status })),
      make("td", {}, ...withCode(answer.description || ""), shown));
  }));

const card = (api, path, method, operation) => {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const inside = make("div", { className: "inside" },
    operation.description ? make("p", {}, ...withCode(operation.description)) : null,
    content ? make("h3", { textContent: "Fields" }) : null,
    content ? fieldTable(api, content.schema) : null,
    make("h3", { textContent: "Try it" }), tryForm(api, path, method, operation),
    make("h3", { textContent: "Answers" }), answers(api, operation));
  return make("details", { className: "operation", open: path === "/process" },
    make("summary", {},
      make("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      make("span", { className: "path", textContent: path }),
      make("span", { className: "summary" }, ...withCode(operation.summary || ""))), inside);
};

const show = (api) => {
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("description").replaceChildren(
    ...(api.info.description || "").trim().split(/\n\s*\n/).map((part) => make("p", {}, ...withCode(part))));
  document.getElementById("key-field").hidden = !(api.components && api.components.securitySchemes);
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["Other"])[0];
      groups.set(tag, [...(groups.get(tag) || []), card(api, path, method, operation)]);
    }
  }
  document.getElementById("operations").replaceChildren(
    ...[...groups].flatMap(([tag, cards]) => [make("h2", { textContent: tag }), ...cards]));
};

const keyInput = document.getElementById("key");
keyInput.value = sessionStorage.getItem("key") || "";
keyInput.addEventListener("change", () => sessionStorage.setItem("key", keyInput.value));
fetch("/openapi.json").then((answer) => answer.json()).then(show).catch((error) => {
  document.getElementById("operations").textContent = `openapi.json can't be read: ${error.message}`;
});
