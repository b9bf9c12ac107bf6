// The agent-sync plugin for OpenCode, installed as .opencode/plugins/agent-sync.js. Made by `agent-sync install`.
//
// It starts the gate of this working tree (.claude/hooks/agent-sync EVENT opencode) with a payload like Claude Code's on
// standard input, and does what it answers: {"deny": …} refuses the tool call, {"context": …} goes before the model.
// No answer means yes. Files are only read for; nothing is started for a tool that neither writes nor runs a command,
// unless mail has come meanwhile.
//
// OpenCode has sessions in one process, and a subagent is a session with a parent: all of a family are one agent.
// Everything goes wrong openly: what fails is one line in OpenCode's log, and the call goes through (STRICT: it does not).

import { spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { existsSync, readdirSync } from "node:fs"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const STRICT = false
const TIMEOUT = 10_000 // milliseconds

const TOP = resolve(dirname(fileURLToPath(import.meta.url)), "../..")
const GATE = join(TOP, ".claude/hooks/agent-sync")

const WRITES = new Set(["edit", "write", "multiedit", "apply_patch", "patch"])
const SHELLS = new Set(["bash", "shell"])
const OTHERS = ["CLAUDE_CODE_SESSION_ID", "GEMINI_SESSION_ID", "COPILOT_AGENT_SESSION_ID"]

// What agent-sync calls a session: it must be a safe file name. The gate is told, since it cannot hash.
const agentOf = (session) =>
  process.env.AGENT_SYNC_ID || "opencode-" + createHash("sha256").update(session).digest("hex").slice(0, 8)

// Where the state is when nothing is unusual; null = only the gate knows.
const STATE =
  existsSync(join(TOP, ".git/HEAD")) && !process.env.AGENT_SYNC_DIR && !process.env.AGENT_SYNC_ROOT
    ? join(TOP, ".claude/coordination")
    : null

const hasMail = (session) => {
  if (STATE === null) return true
  try {
    return readdirSync(join(STATE, "inbox", agentOf(session))).some((name) => name.endsWith(".json"))
  } catch {
    return false // no inbox, no mail
  }
}

// What the tool is about to write, under the first key of `tool_input`: that is where the gate looks for it.
const inputOf = (tool, args, directory) => {
  if (SHELLS.has(tool)) return { command: String(args?.command ?? "") }
  if (typeof args?.patchText === "string") return { command: args.patchText }
  const path = args?.filePath ?? args?.path
  if (typeof path !== "string" || path === "") return null
  return { file_path: isAbsolute(path) ? path : resolve(directory, path) }
}

export const AgentSync = async ({ client, directory }) => {
  const parents = new Map() // session: the session that its agent is named after
  const started = new Map() // such a session: what its start has to say, once
  const waiting = new Map() // tool call: what is to be told with its result

  const warn = (message) =>
    client.app.log({ body: { service: "agent-sync", level: "warn", message } }).catch(() => {})

  const root = async (session) => {
    if (!parents.has(session)) {
      let parent
      try {
        parent = (await client.session.get({ path: { id: session } })).data?.parentID
      } catch {
        // a session that cannot be looked up has no parent
      }
      parents.set(session, parent ? await root(parent) : session)
    }
    return parents.get(session)
  }

  // One answer of the gate: an object, or null for none. Throws in strict mode when there is no telling.
  const ask = async (event, session, fields = {}) => {
    const agent = await root(session)
    const payload = { session_id: agent, cwd: directory, hook_event_name: event, ...fields }
    if (session !== agent) payload.agent_id = session
    const strict = STRICT && event === "pre-tool-use"
    const env = { ...process.env, AGENT_SYNC_ID: agentOf(agent), OPENCODE_PID: String(process.pid) }
    try {
      const out = await run([event, "opencode", ...(strict ? ["--strict"] : [])], JSON.stringify(payload), env)
      return out.trim() === "" ? null : JSON.parse(out)
    } catch (error) {
      const why = error.code === "ENOENT" ? ".claude/hooks/agent-sync is gone" : error.message
      const message = `${event} failed ${strict ? "and blocks" : "open"}: ${why}`
      await warn(message)
      if (strict) throw new Error(`agent-sync: ${message}`)
      return null
    }
  }

  const run = (args, input, env) =>
    new Promise((done, failed) => {
      const gate = spawn(GATE, args, { cwd: directory, env, stdio: ["pipe", "pipe", "pipe"] })
      let out = ""
      let err = ""
      const timer = setTimeout(() => {
        gate.kill("SIGKILL")
        failed(new Error("the gate does not answer"))
      }, TIMEOUT)
      gate.on("error", (error) => {
        clearTimeout(timer)
        failed(error)
      })
      gate.stdout.setEncoding("utf8").on("data", (text) => (out += text))
      gate.stderr.setEncoding("utf8").on("data", (text) => (err += text))
      gate.on("close", async (code) => {
        clearTimeout(timer)
        if (code !== 0) return failed(new Error(err.trim() || `the gate exited with ${code}`))
        if (err.trim()) await warn(err.trim())
        done(out)
      })
      gate.stdin.on("error", () => {}) // a gate that needs no payload is gone before it is written
      gate.stdin.end(input)
    })

  // Registers the session, once; what the start has to say waits until somebody can be told.
  const begin = async (session) => {
    const agent = await root(session)
    if (!started.has(agent)) {
      started.set(agent, "") // first, so that parallel calls do it once
      started.set(agent, (await ask("session-start", agent))?.context ?? "")
    }
    return agent
  }

  const told = (agent) => {
    const text = started.get(agent) ?? ""
    started.set(agent, "")
    return text
  }

  const end = async (agent) => {
    if (!started.delete(agent)) return
    await ask("session-end", agent, { reason: "other" })
  }

  return {
    event: async ({ event }) => {
      if (event.type === "session.deleted") await end(event.properties?.info?.id ?? event.properties?.sessionID)
    },

    "chat.message": async ({ sessionID }, { message, parts }) => {
      const agent = await begin(sessionID)
      if (agent !== sessionID) return // a subagent's task; what is to be told waits for the session itself
      const news = (await ask("user-prompt-submit", sessionID))?.context
      const text = [told(agent), news].filter(Boolean).join("\n")
      if (!text) return
      const id = "prt_" + "f".repeat(16) + randomBytes(5).toString("hex") // sorts after the prompt's own parts
      parts.push({ id, sessionID, messageID: message.id, type: "text", text, synthetic: true })
    },

    "tool.execute.before": async ({ tool, sessionID, callID }, { args }) => {
      if (!WRITES.has(tool) && !SHELLS.has(tool)) return
      await begin(sessionID)
      const input = inputOf(tool, args, directory)
      if (input === null) return // the tool will complain itself
      const answer = await ask("pre-tool-use", sessionID, { tool_name: tool, tool_input: input })
      if (answer?.deny) throw new Error(answer.deny)
      if (answer?.context) waiting.set(callID, answer.context)
    },

    "tool.execute.after": async ({ tool, sessionID, callID, args }, output) => {
      const said = waiting.get(callID)
      waiting.delete(callID)
      const input = WRITES.has(tool) || SHELLS.has(tool) ? inputOf(tool, args, directory) : null
      let news
      if (input !== null) {
        news = (await ask("post-tool-use", sessionID, { tool_name: tool, tool_input: input }))?.context
      } else if (sessionID === (await root(sessionID)) && started.has(sessionID) && hasMail(sessionID)) {
        news = (await ask("post-tool-batch", sessionID))?.context
      }
      const text = [said, news].filter(Boolean).join("\n")
      if (text && typeof output?.output === "string") output.output += "\n\n" + text
    },

    // The shell of the session is the same agent, whatever client OpenCode itself was started from.
    "shell.env": async ({ sessionID }, { env }) => {
      if (!sessionID) return
      env.OPENCODE_SESSION_ID = await root(sessionID)
      for (const name of OTHERS) if (process.env[name]) env[name] = ""
    },

    dispose: async () => {
      await Promise.all([...started.keys()].map(end))
    },
  }
}
