# What the back end on puma answers: which request it saw. `SEEN` names the file that it writes a line to for each.
require "digest"
require "json"

run(lambda do |env|
  method, path = env["REQUEST_METHOD"], env["REQUEST_URI"]
  # A path with `/unread` is answered without a look at the body.
  body = path.include?("/unread") ? nil : env["rack.input"].read
  line = { method: method, path: path, length: body&.bytesize, sha256: body && Digest::SHA256.hexdigest(body), whole: true }
  File.write(ENV.fetch("SEEN"), "#{JSON.generate(line)}\n", mode: "a")
  saw = "#{method} #{path}"
  [200, { "X-Saw" => saw, "Content-Length" => saw.bytesize.to_s, "Content-Type" => "text/plain" }, [saw]]
end)
