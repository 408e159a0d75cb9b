-- One METHOD over and over: its body in the file BODY, headers "Name: value" a line in HEADERS.
-- The number after MessageID's "uuid:" is another one each time, as it is with every client.
local function read(name)
  local file = assert(io.open(os.getenv(name), "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

wrk.method = os.getenv("METHOD")
wrk.body = read("BODY")
for name, value in read("HEADERS"):gmatch("([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

local head, tail = wrk.body:match("^(.-MessageID>uuid:)%x%x%x%x%x%x%x%x(.*)$")
local number = math.random(0, 0xffff) * 0x10000

if head then
  function request()
    number = number + 1
    return wrk.format(nil, nil, nil, head .. string.format("%08x", number % 0x100000000) .. tail)
  end
end
