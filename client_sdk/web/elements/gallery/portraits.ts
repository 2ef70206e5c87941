/** Soft-focus stand-ins for what a camera sees: drawn, so that the gallery needs no camera and shows nobody. */

/** Who sits there: wall, clothes, skin, hair. */
const SITTERS = {
  sam: { wall: "#4b5156", light: "#e8c88c", clothes: "#6a7358", skin: "#cfa488", hair: "#2f2723" },
  dana: { wall: "#5a4a44", light: "#cfc4b0", clothes: "#b3803f", skin: "#7d5140", hair: "#231a18" },
  mira: { wall: "#6d6a63", light: "#dfe2dc", clothes: "#39545c", skin: "#dbb098", hair: "#70452c" },
} as const;

const [WIDTH, HEIGHT] = [800, 600];
const made = new Map<string, MediaStream>();

function oval(on: CanvasRenderingContext2D, colour: string, x: number, y: number, rx: number, ry: number): void {
  on.fillStyle = colour;
  on.beginPath();
  on.ellipse(x, y, rx, ry, 0, 0, 2 * Math.PI);
  on.fill();
}

function paint(canvas: HTMLCanvasElement, sitter: keyof typeof SITTERS): void {
  const on = canvas.getContext("2d");
  if (on === null) {
    return;
  }
  const { wall, light, clothes, skin, hair } = SITTERS[sitter];
  on.filter = "blur(11px)";
  on.fillStyle = wall;
  on.fillRect(-20, -20, WIDTH + 40, HEIGHT + 40);
  oval(on, light, 665, 150, 90, 130);
  oval(on, clothes, 400, 640, 250, 230);
  oval(on, hair, 400, 235, 125, 160);
  on.fillStyle = skin;
  on.fillRect(352, 360, 96, 90);
  oval(on, skin, 400, 285, 100, 130);
  oval(on, hair, 362, 275, 14, 8);
  oval(on, hair, 438, 275, 14, 8);
}

/** The stream of somebody's camera. One per sitter and page. */
export function pictureOf(sitter: keyof typeof SITTERS): MediaStream {
  const found = made.get(sitter);
  if (found !== undefined) {
    return found;
  }
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const stream = canvas.captureStream();
  const draw = (frames: number) => {
    paint(canvas, sitter);
    if (frames > 0) {
      setTimeout(() => draw(frames - 1), 100);
    }
  };
  draw(20);
  made.set(sitter, stream);
  return stream;
}
