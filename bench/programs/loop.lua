-- SPDX-License-Identifier: Apache-2.0
local cipher = require "openssl.cipher"
local rand = require "openssl.rand"
local rounds, messages = tonumber(arg[1]), tonumber(arg[2])
local text = ("a"):rep(32)
local key = rand.bytes(32)
local name = "emails" .. ("\0"):rep(26)

local calls = {
  {
    function() return cipher.new("kms-envelope"):encrypt(name):final(text) end,
    function(box) return cipher.new("kms-envelope"):decrypt(name):final(box) end,
  },
  {
    function()
      local iv = rand.bytes(12)
      local c = cipher.new("aes-256-gcm"):encrypt(key, iv)
      return { iv, c:final(text), c:getTag(16) }
    end,
    function(got)
      local c = cipher.new("aes-256-gcm"):decrypt(key, got[1])
      c:setTag(got[3])
      return c:final(got[2])
    end,
  },
}

-- CPU time: the clock that Lua has, and there is one thread.
local function took(call, given)
  local start = os.clock()
  for _ = 1, messages do call(given) end
  return math.floor((os.clock() - start) * 1e9)
end

for _ = 1, rounds do
  local line = {}
  for _, pair in ipairs(calls) do
    local seal, open = pair[1], pair[2]
    local box = seal()
    assert(open(box) == text)
    line[#line + 1] = took(seal)
    line[#line + 1] = took(open, box)
  end
  print(table.concat(line, " "))
end
