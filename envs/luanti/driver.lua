-- The world mod by which worldsim drives the stock engine: one command a line in, one answer a line out.
-- All of it runs inside one globalstep, which returns only for "Y": between two commands the server stands still.
local mt = minetest
local world = mt.get_worldpath()
local player, marks, commands, answers
local ready, emerging = false, 0
local before = {} -- hash of position -> the node that stood there before our edits
local stale = {} -- positions of changes that the client has not been told

-- Equal poses must give equal pixels: no animated textures, nothing that waves, no node that acts by itself.
local function still(tiles)
  local out, changed = {}, false
  for i, tile in ipairs(tiles or {}) do
    out[i] = tile
    if type(tile) == "table" and tile.animation then
      local height = tile.animation.type == "vertical_frames" and (tile.animation.aspect_h or 16) or 16
      local copy = table.copy(tile)
      copy.animation, copy.image = nil, nil
      copy.name = (tile.name or tile.image or "blank.png") .. "^[verticalframe:16:0"
      if height ~= 16 then copy.name = tile.name end
      out[i], changed = copy, true
    end
  end
  return changed and out or nil
end

mt.register_on_mods_loaded(function()
  for name, def in pairs(mt.registered_nodes) do
    local change = { waving = 0 }
    change.tiles = still(def.tiles)
    change.special_tiles = still(def.special_tiles)
    if def.on_timer then change.on_timer = function() end end
    mt.override_item(name, change)
  end
  mt.registered_abms, mt.registered_lbms = {}, {}
end)

mt.register_on_joinplayer(function(p)
  player = p
  mt.set_player_privs(p:get_player_name(), { fly = true, noclip = true, interact = true })
  p:set_physics_override({ speed = 0, jump = 0, gravity = 0, sneak = false })
  p:set_armor_groups({ immortal = 1 })
  p:hud_set_flags({ hotbar = false, healthbar = false, crosshair = false, wielditem = false, breathbar = false,
    minimap = false, basic_debug = false })
  p:override_day_night_ratio(1)
  p:set_clouds({ density = 0 })
  p:set_sky({ type = "plain", base_color = "#8cbafa", clouds = false, fog = {} })
  p:set_stars({ visible = false })
  p:set_sun({ visible = false, sunrise_visible = false })
  p:set_moon({ visible = false })
  marks = {}
  for y = 0, 1 do -- above and below the picture
    marks[y + 1] = p:hud_add({ hud_elem_type = "image", position = { x = 1, y = y }, alignment = { x = -1, y = 1 - 2 * y },
      offset = { x = 0, y = 0 }, scale = { x = 8, y = 8 }, text = "[combine:1x1^[noalpha^[colorize:#000000:255" })
  end
  mt.after(0.5, function() -- after the game's own mods have had their say
    p:set_properties({ eye_height = 1.625, visual_size = { x = 0, y = 0 } })
    ready = true
  end)
end)

local function paint(k)
  local text = string.format("[combine:1x1^[noalpha^[colorize:#%02x%02x%02x:255",
    k % 8 * 32 + 16, math.floor(k / 8) % 8 * 32 + 16, math.floor(k / 64) % 8 * 32 + 16)
  for _, mark in ipairs(marks) do player:hud_change(mark, "text", text) end
end

local function box(a) -- the six numbers of a command as two corners
  return { x = a[1], y = a[2], z = a[3] }, { x = a[4], y = a[5], z = a[6] }
end

-- What every node is to a walker: whether it stops one, is a liquid, or belongs to a tree.
local function describe(name)
  local def = mt.registered_nodes[name] or { walkable = true }
  local top = 0.5
  local shape = def.collision_box or def.node_box
  if shape and shape.type == "fixed" and shape.fixed then
    local boxes = type(shape.fixed[1]) == "table" and shape.fixed or { shape.fixed }
    top = -0.5
    for _, b in ipairs(boxes) do top = math.max(top, b[5]) end
  end
  return {
    name = name,
    solid = def.walkable ~= false and top > 0,
    liquid = (def.liquidtype or "none") ~= "none",
    tree = mt.get_item_group(name, "tree") + mt.get_item_group(name, "leaves") > 0,
  }
end

-- The content ids of a box as two bytes each (x fastest, then y, then z), and beside it what they are.
local function dump(file, low, high)
  local vm = mt.get_voxel_manip()
  local emin, emax = vm:read_from_map(low, high)
  local area, data = VoxelArea:new({ MinEdge = emin, MaxEdge = emax }), vm:get_data()
  local out, seen = {}, {}
  for z = low.z, high.z do
    for y = low.y, high.y do
      local row, from = {}, area:index(low.x, y, z)
      for i = 0, high.x - low.x do
        local id = data[from + i]
        row[#row + 1] = string.char(id % 256, math.floor(id / 256))
        seen[id] = true
      end
      out[#out + 1] = table.concat(row)
    end
  end
  local f = io.open(world .. "/" .. file .. ".nodes", "wb")
  f:write(table.concat(out))
  f:close()
  local names = {}
  for id in pairs(seen) do names[tostring(id)] = describe(mt.get_name_from_content_id(id)) end
  f = io.open(world .. "/" .. file .. ".json", "w")
  f:write(mt.write_json(names))
  f:close()
end

local does = {}

function does.P(a) -- mark, position of the feet, yaw, pitch; whoever sees the mark sees from there
  player:set_pos({ x = a[2], y = a[3], z = a[4] })
  player:set_look_horizontal(a[5])
  player:set_look_vertical(a[6])
  paint(a[1])
end

function does.A(a) -- mark, position; whoever does not see the mark does not see from there yet
  paint(a[1])
  player:set_pos({ x = a[2], y = a[3], z = a[4] })
end

function does.M(a) paint(a[1]) end

function does.L(a) -- load a box from the disk and send its blocks to the client
  local low, high = box(a)
  mt.load_area(low, high)
  local sent = 0
  for x = math.floor(low.x / 16), math.floor(high.x / 16) do
    for y = math.floor(low.y / 16), math.floor(high.y / 16) do
      for z = math.floor(low.z / 16), math.floor(high.z / 16) do
        if player:send_mapblock({ x = x, y = y, z = z }) then sent = sent + 1 end
      end
    end
  end
  return sent
end

-- Send the blocks about the changed positions, twice: the client makes a block's mesh anew when a neighbour across a face
-- comes, but not one across an edge, whose light it uses too; the second time every neighbour is known. A block that
-- the client has is not sent again before the server has counted the change, in a step of its own ("Y").
function does.R()
  local blocks = {}
  for _, at in ipairs(stale) do
    for i = -1, 1 do for j = -1, 1 do for k = -1, 1 do
      local b = { x = math.floor(at.x / 16) + i, y = math.floor(at.y / 16) + j, z = math.floor(at.z / 16) + k }
      blocks[mt.hash_node_position(b)] = b
    end end end
  end
  for _ = 1, 2 do
    for _, b in pairs(blocks) do player:send_mapblock(b) end
  end
  stale = {}
end

function does.N(a, name) -- change one node
  local at = { x = a[1], y = a[2], z = a[3] }
  local hash = mt.hash_node_position(at)
  before[hash] = before[hash] or mt.get_node(at)
  mt.swap_node(at, { name = name })
  stale[#stale + 1] = at
end

function does.U() -- undo every change
  for hash, node in pairs(before) do
    stale[#stale + 1] = mt.get_position_from_hash(hash)
    mt.swap_node(stale[#stale], node)
  end
  before = {}
end

function does.E(a) -- generate a box; done when W says 0
  local low, high = box(a)
  emerging = emerging + 1
  mt.emerge_area(low, high, function(_, _, left) if left == 0 then emerging = emerging - 1 end end)
end

function does.W() return emerging end

function does.S(a) return mt.get_spawn_level(a[1], a[2]) or "none" end

function does.D(a, file) dump(file, box(a)) end

function does.Q() ready = false end -- so that the engine can save and end when it is told to

mt.register_globalstep(function()
  if not ready then return end
  if not commands then
    commands, answers = io.open(world .. "/commands", "r"), io.open(world .. "/answers", "w")
    answers:write("ready\n")
    answers:flush()
  end
  while true do
    local line = commands:read("*l")
    if not line then -- the other side is gone
      ready = false
      mt.request_shutdown()
      return
    end
    local words = line:split(" ")
    local numbers = {}
    for i = 2, #words do numbers[i - 1] = tonumber(words[i]) end
    local op = words[1]
    local said = does[op] and does[op](numbers, words[#words])
    answers:write(tostring(said == nil and "ok" or said) .. "\n")
    answers:flush()
    if op == "Y" or op == "Q" then return end
  end
end)
