"""The MCP server: for clients without hooks, and for agents whose shell may not write the state directory.

One process serves one connection over stdin and stdout. It is an edge like the command line: each tool checks its
arguments, calls one operation and renders the outcome. Nothing here decides anything about locks, tasks or mail.

server      starts and ends it
handlers    from a request of the protocol to a tool, and back
wire        lines in and out; both eras of the protocol on one connection
connection  which agent and which repository a call is for
catalogue   the tools as the client's model sees them
arguments   the check of what it passes
tools       what each tool does
handover    mail that goes out with an answer
resources   what can be read
"""
