/* Filters planar YUV with an exported integer filter.
 *
 *   dfp_filter FILTER.npz --check
 *   dfp_filter FILTER.npz IN.yuv OUT.yuv --size=WxH --qp=N
 *       [--chroma=400|420|422|444] [--depth=N]
 *
 * A reference to read and to compare with: C99, no dependency. The format and
 * the arithmetic are those of docs/dfp-format.md, whose limits are all checked
 * before memory is taken. Exit status 0, or 1 and one line `error: ...`.
 *
 * Every sum fits int32_t, as check_bounds() proves before a filter is run; no
 * negative number is shifted, which C99 leaves to the compiler.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_MEMBERS = 256, MAX_LAYERS = 64, MAX_CHANNELS = 1024, MAX_KERNEL = 31,
  MAX_SHIFT = 30, MAX_FL = 64, MAX_QP = 63, QP_BITS = 6, MAX_AXES = 4,
  MAX_VECTOR_SAMPLES = 65536, MAX_EDGE = 65535, TILE = 64
};
#define MAX_BYTES ((uint64_t)64 << 20)
/* Of one layer's values in a tile: far above any filter that is of use. */
#define MAX_TILE_BYTES ((uint64_t)1 << 30)
/* Stands for all that is too large; far from wrapping in the sums below. */
#define HUGE_BOUND ((uint64_t)1 << 40)

typedef struct {
  uint8_t *data;
  size_t size;
} Bytes;

/* One .npy file inside the archive; `data` points into the archive. */
typedef struct {
  char name[32];
  const uint8_t *data;
  int axes, item_bytes;
  size_t shape[MAX_AXES], count;
} Array;

typedef struct {
  int count;
  Array arrays[MAX_MEMBERS];
} Archive;

typedef struct {
  int kernel, inputs, outputs, relu;
  int weight_fl, bias_fl, output_fl, weight_bits, bias_bits, output_bits;
  int accumulator_shift, bias_shift, output_shift;
  int32_t low, high;
  int32_t *weights; /* [kernel, kernel, inputs, outputs] */
  int32_t *biases;  /* [outputs] */
} Layer;

typedef struct {
  int depth, count, margin, widest;
  Layer layers[MAX_LAYERS];
} Filter;

static const char *unfinished_path = NULL;

static void fail(const char *format, ...) {
  va_list arguments;
  fputs("error: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  if (unfinished_path != NULL) remove(unfinished_path);
  exit(1);
}

static void *allocate(size_t count, size_t item) {
  void *memory = calloc(count, item);
  if (memory == NULL) fail("out of memory for %zu items of %zu", count, item);
  return memory;
}

static uint32_t little(const uint8_t *data, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint32_t)data[i] << (8 * i);
  return value;
}

/* Two's complement of 1, 2 or 4 bytes. */
static int32_t signed_little(const uint8_t *data, int bytes) {
  uint32_t value = little(data, bytes);
  uint32_t sign = (uint32_t)1 << (8 * bytes - 1);
  if (value & sign) {
    return -(int32_t)(sign - 1 - (value & (sign - 1))) - 1;
  }
  return (int32_t)value;
}

static uint32_t crc32(const uint8_t *data, size_t size) {
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 0; i < size; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++) {
      crc = crc & 1 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
    }
  }
  return ~crc;
}

static uint64_t file_size(FILE *file, const char *path) {
  long size = -1;
  if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
  if (size < 0 || fseek(file, 0, SEEK_SET) != 0) {
    fail("%s: cannot be read", path);
  }
  return (uint64_t)size;
}

static FILE *open_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("%s: cannot be opened", path);
  return file;
}

static void read_exactly(FILE *file, uint8_t *data, size_t size,
                         const char *path) {
  if (fread(data, 1, size, file) != size) fail("%s: cannot be read", path);
}

static Bytes read_file(const char *path) {
  FILE *file = open_file(path);
  uint64_t size = file_size(file, path);
  if (size > MAX_BYTES) fail("%s: more than 64 MiB", path);
  Bytes content = {allocate((size_t)size + 1, 1), (size_t)size};
  read_exactly(file, content.data, content.size, path);
  fclose(file);
  return content;
}

/* Moves *text past `word`; says whether it was there. */
static int skip(const char **text, const char *word) {
  size_t size = strlen(word);
  if (strncmp(*text, word, size) != 0) return 0;
  *text += size;
  return 1;
}

/* Reads the shape behind its opening bracket, as NumPy writes it. */
static void parse_shape(const char *text, Array *array) {
  uint64_t count = 1;
  do {
    uint64_t size = 0;
    if (*text < '1' || *text > '9') break;
    while (*text >= '0' && *text <= '9') {
      size = size * 10 + (uint64_t)(*text++ - '0');
      if (size > MAX_BYTES) fail("%s: axis too long", array->name);
    }
    if (array->axes == MAX_AXES) fail("%s: more than 4 axes", array->name);
    array->shape[array->axes++] = (size_t)size;
    count *= size;
    if (count > MAX_BYTES) fail("%s: too many items", array->name);
  } while (skip(&text, ", "));
  /* A tuple of one item ends with a comma. */
  if ((array->axes == 1 && !skip(&text, ",")) || !skip(&text, "), }")) {
    fail("%s: unknown shape", array->name);
  }
  while (*text == ' ') text++;
  if (strcmp(text, "\n") != 0) fail("%s: unknown header", array->name);
  array->count = (size_t)count;
}

/* Reads the header of a .npy file, format 1.0. */
static void parse_npy(const uint8_t *data, size_t size, Array *array) {
  static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
  static const struct {
    const char *start;
    int bytes;
  } types[] = {{"{'descr': '|i1', 'fortran_order': False, 'shape': (", 1},
               {"{'descr': '<i2', 'fortran_order': False, 'shape': (", 2},
               {"{'descr': '<i4', 'fortran_order': False, 'shape': (", 4}};
  char header[513] = "";
  if (size < 10 || memcmp(data, magic, sizeof magic) != 0) {
    fail("%s: expected the .npy format 1.0", array->name);
  }
  size_t length = little(data + 8, 2);
  if (length >= sizeof header || size - 10 < length ||
      memchr(data + 10, 0, length) != NULL) {
    fail("%s: a header of %zu bytes", array->name, length);
  }
  memcpy(header, data + 10, length);
  const char *text = header;
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    if (skip(&text, types[i].start)) {
      array->item_bytes = types[i].bytes;
      parse_shape(text, array);
      break;
    }
  }
  if (array->item_bytes == 0) {
    fail("%s: expected little-endian integers in C order", array->name);
  }
  array->data = data + 10 + length;
  if ((uint64_t)array->count * (uint64_t)array->item_bytes !=
      size - 10 - length) {
    fail("%s: its items do not fit its bytes", array->name);
  }
}

/* Reads one entry of the archive's directory; returns the entry's size. Files
 * have `left` bytes together, so that none can be read again and again. */
static size_t parse_entry(Bytes zip, size_t directory, size_t entry,
                          size_t end, size_t *left, Array *array) {
  const uint8_t *head = zip.data + entry;
  if (end - entry < 46 || little(head, 4) != 0x02014B50u) {
    fail("the archive's directory is damaged");
  }
  size_t name_size = little(head + 28, 2);
  size_t size = 46 + name_size + little(head + 30, 2) + little(head + 32, 2);
  if (end - entry < size) fail("the archive's directory is damaged");
  if (little(head + 8, 2) != 0 || little(head + 10, 2) != 0 ||
      little(head + 20, 4) != little(head + 24, 4)) {
    fail("the archive's files are packed, expected them stored");
  }
  if (name_size < 5 || name_size - 4 >= sizeof array->name ||
      memcmp(head + 46 + name_size - 4, ".npy", 4) != 0 ||
      memchr(head + 46, 0, name_size) != NULL) {
    fail("a file with another name in the archive, expected NAME.npy");
  }
  memcpy(array->name, head + 46, name_size - 4);
  size_t content_size = little(head + 20, 4), offset = little(head + 42, 4);
  if (offset > directory || directory - offset < 30) {
    fail("%s: lies outside the archive", array->name);
  }
  const uint8_t *local = zip.data + offset;
  size_t skipped = 30 + name_size + little(local + 28, 2);
  if (little(local, 4) != 0x04034B50u || little(local + 26, 2) != name_size ||
      directory - offset < skipped ||
      memcmp(local + 30, head + 46, name_size) != 0 ||
      directory - offset - skipped < content_size) {
    fail("%s: lies outside the archive", array->name);
  }
  if (content_size > *left) fail("%s: over another file", array->name);
  *left -= content_size;
  if (crc32(local + skipped, content_size) != little(head + 16, 4)) {
    fail("%s: damaged, its CRC differs", array->name);
  }
  parse_npy(local + skipped, content_size, array);
  return size;
}

static const Array *find_or_null(const Archive *archive, const char *name) {
  for (int i = 0; i < archive->count; i++) {
    if (strcmp(archive->arrays[i].name, name) == 0) return &archive->arrays[i];
  }
  return NULL;
}

static const Array *find(const Archive *archive, const char *name, int axes) {
  const Array *array = find_or_null(archive, name);
  if (array == NULL) fail("no array %s in the archive", name);
  if (array->axes != axes) fail("%s: expected %d axes", name, axes);
  return array;
}

static void parse_archive(Bytes zip, Archive *archive) {
  const uint8_t *tail = zip.data + (zip.size < 22 ? 0 : zip.size - 22);
  if (zip.size < 22 || little(tail, 4) != 0x06054B50u ||
      little(tail + 20, 2) != 0) {
    fail("no ZIP archive, or one with something behind it");
  }
  size_t end = zip.size - 22, entry = little(tail + 16, 4);
  size_t directory = entry, members = little(tail + 10, 2);
  if (little(tail + 4, 4) != 0 || little(tail + 8, 2) != members ||
      directory > end || end - directory != little(tail + 12, 4) ||
      members > MAX_MEMBERS) {
    fail("the archive's directory is damaged");
  }
  size_t left = directory;
  for (size_t i = 0; i < members; i++) {
    Array array;
    memset(&array, 0, sizeof array);
    entry += parse_entry(zip, directory, entry, end, &left, &array);
    if (find_or_null(archive, array.name) != NULL) {
      fail("%s: twice in the archive", array.name);
    }
    archive->arrays[archive->count++] = array;
  }
  if (entry != end) fail("the archive's directory is damaged");
}

static int32_t item(const Array *array, size_t i) {
  return signed_little(array->data + i * (size_t)array->item_bytes,
                       array->item_bytes);
}

static int32_t least_of_bits(int bits) {
  return -(int32_t)(((uint32_t)1 << (bits - 1)) - 1) - 1;
}

static int32_t largest_of_bits(int bits) {
  return (int32_t)(((uint32_t)1 << (bits - 1)) - 1);
}

/* Copies integers, all of which have to fit `bits` bits. */
static int32_t *copy_items(const Array *array, int bits) {
  int32_t *copy = allocate(array->count, sizeof *copy);
  for (size_t i = 0; i < array->count; i++) {
    copy[i] = item(array, i);
    if (copy[i] < least_of_bits(bits) || copy[i] > largest_of_bits(bits)) {
      fail("%s: %" PRId32 " does not fit %d bits", array->name, copy[i], bits);
    }
  }
  return copy;
}

static int in_range(const char *name, int32_t value, int low, int high) {
  if (value < low || value > high) {
    fail("%s: got %" PRId32 ", expected %d to %d", name, value, low, high);
  }
  return (int)value;
}

static void parse_layer(const Archive *archive, const Array *formats, int i,
                        int inputs, Layer *layer) {
  char name[32];
  size_t row = (size_t)i * 7;
  layer->weight_fl = in_range("fl", item(formats, row), -MAX_FL, MAX_FL);
  layer->bias_fl = in_range("fl", item(formats, row + 1), -MAX_FL, MAX_FL);
  layer->output_fl = in_range("fl", item(formats, row + 2), -MAX_FL, MAX_FL);
  layer->weight_bits = in_range("bits", item(formats, row + 3), 2, 32);
  layer->bias_bits = in_range("bits", item(formats, row + 4), 2, 32);
  layer->output_bits = in_range("bits", item(formats, row + 5), 2, 32);
  layer->relu = in_range("relu", item(formats, row + 6), 0, 1);
  snprintf(name, sizeof name, "weights_%d", i);
  const Array *weights = find(archive, name, 4);
  snprintf(name, sizeof name, "biases_%d", i);
  const Array *biases = find(archive, name, 1);
  const size_t *shape = weights->shape;
  if (shape[0] != shape[1] || shape[0] % 2 == 0 || shape[0] > MAX_KERNEL ||
      shape[2] != (size_t)inputs || shape[3] > MAX_CHANNELS ||
      biases->shape[0] != shape[3]) {
    fail("layer %d: the shapes of weights and biases do not fit", i);
  }
  layer->kernel = (int)shape[0];
  layer->inputs = inputs;
  layer->outputs = (int)shape[3];
  layer->weights = copy_items(weights, layer->weight_bits);
  layer->biases = copy_items(biases, layer->bias_bits);
}

static uint64_t at_most_huge(uint64_t value) {
  return value < HUGE_BOUND ? value : HUGE_BOUND;
}

static uint64_t magnitude(int32_t value) {
  return value < 0 ? (uint64_t)(-(int64_t)value) : (uint64_t)value;
}

/* The largest magnitude of anything that output o meets on its way. */
static uint64_t bound_of(const Layer *layer, int o, const uint64_t *reach) {
  uint64_t sum = 0;
  size_t taps = (size_t)layer->kernel * (size_t)layer->kernel;
  for (size_t i = 0; i < taps * (size_t)layer->inputs; i++) {
    uint64_t weight = magnitude(
        layer->weights[i * (size_t)layer->outputs + (size_t)o]);
    /* At most 2^31 * 2^31 at a time. */
    sum = at_most_huge(sum + weight * reach[i % (size_t)layer->inputs]);
  }
  sum = at_most_huge(at_most_huge(sum) << (sum >> 32 ? 0
                                               : layer->accumulator_shift));
  sum += magnitude(layer->biases[o]) << layer->bias_shift;
  if (layer->output_shift > 0) {
    return sum + ((uint64_t)1 << (layer->output_shift - 1));
  }
  return sum >> 32 ? sum : sum << -layer->output_shift;
}

static int is_shift(int shift) {
  return shift >= -MAX_SHIFT && shift <= MAX_SHIFT;
}

static void plan_layer(Layer *layer, int i, int input_fl, uint64_t *reach) {
  int accumulator_fl = layer->weight_fl + input_fl;
  int sum_fl = accumulator_fl > layer->bias_fl ? accumulator_fl
                                               : layer->bias_fl;
  layer->accumulator_shift = sum_fl - accumulator_fl;
  layer->bias_shift = sum_fl - layer->bias_fl;
  layer->output_shift = sum_fl - layer->output_fl;
  if (!is_shift(layer->accumulator_shift) || !is_shift(layer->bias_shift) ||
      !is_shift(layer->output_shift)) {
    fail("layer %d: shifts by more than %d bits", i, MAX_SHIFT);
  }
  layer->low = layer->relu ? 0 : least_of_bits(layer->output_bits);
  layer->high = largest_of_bits(layer->output_bits);
  for (int o = 0; o < layer->outputs; o++) {
    if (bound_of(layer, o, reach) > INT32_MAX) {
      fail("layer %d, channel %d: its sum can leave int32", i, o);
    }
  }
  uint64_t largest = magnitude(layer->low);
  if (largest < (uint64_t)layer->high) largest = (uint64_t)layer->high;
  for (int o = 0; o < layer->outputs; o++) reach[o] = largest;
}

/* Derives all shifts, and proves that no sum leaves int32. */
static void check_bounds(Filter *filter) {
  uint64_t reach[MAX_CHANNELS];
  int fl = filter->depth, last = filter->count - 1;
  reach[0] = ((uint64_t)1 << filter->depth) - 1;
  reach[1] = (uint64_t)MAX_QP << (filter->depth - QP_BITS);
  for (int i = 0; i < filter->count; i++) {
    plan_layer(&filter->layers[i], i, fl, reach);
    fl = filter->layers[i].output_fl;
  }
  int bits = fl - filter->depth;
  if (bits < 2 || bits > MAX_SHIFT - filter->depth) {
    fail("layer %d: a residual with %d bits below the sample", last, bits);
  }
  if (((uint64_t)1 << (filter->depth + bits)) +
          magnitude(filter->layers[last].low) + ((uint64_t)1 << (bits - 1)) >
      INT32_MAX) {
    fail("layer %d: the residual's sum can leave int32", last);
  }
}

static void parse_filter(const Archive *archive, Filter *filter) {
  in_range("version", item(find(archive, "version", 0), 0), 1, 1);
  filter->depth = in_range("depth", item(find(archive, "depth", 0), 0), 8, 16);
  const Array *formats = find(archive, "formats", 2);
  if (formats->shape[0] > MAX_LAYERS || formats->shape[1] != 7) {
    fail("formats: expected [1 to %d, 7]", MAX_LAYERS);
  }
  filter->count = (int)formats->shape[0];
  filter->widest = 2;
  int inputs = 2;
  for (int i = 0; i < filter->count; i++) {
    Layer *layer = &filter->layers[i];
    parse_layer(archive, formats, i, inputs, layer);
    inputs = layer->outputs;
    filter->margin += layer->kernel / 2;
    if (inputs > filter->widest) filter->widest = inputs;
  }
  if (inputs != 1 || filter->layers[filter->count - 1].relu) {
    fail("the last layer: expected one output and no ReLU");
  }
  check_bounds(filter);
}

/* Rounds down, also where >> of a negative number would not. */
static int32_t floor_shift(int32_t value, int shift) {
  return value >= 0 ? value >> shift : ~(~value >> shift);
}

/* Division by 2^shift to the nearest integer, halves to even. */
static int32_t round_shift(int32_t value, int shift) {
  if (shift <= 0) return value * ((int32_t)1 << -shift);
  int32_t odd = floor_shift(value, shift) & 1;
  return floor_shift(value + ((int32_t)1 << (shift - 1)) - 1 + odd, shift);
}

static int32_t clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

/* Samples of a plane or a tile of one. */
typedef struct {
  size_t height, width;
} Size;

static void run_layer(const Layer *layer, Size size, const int32_t *x,
                      int32_t *y, int32_t *sums) {
  size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs;
  size_t kernel = (size_t)layer->kernel, radius = kernel / 2;
  for (size_t i = 0; i < size.height; i++) {
    for (size_t j = 0; j < size.width; j++) {
      memset(sums, 0, outputs * sizeof *sums);
      for (size_t u = 0; u < kernel; u++) {
        /* Outside the plane everything is zero. */
        if (i + u < radius || i + u - radius >= size.height) continue;
        for (size_t v = 0; v < kernel; v++) {
          if (j + v < radius || j + v - radius >= size.width) continue;
          const int32_t *near = x + ((i + u - radius) * size.width + j + v -
                                     radius) * inputs;
          const int32_t *weights =
              layer->weights + (u * kernel + v) * inputs * outputs;
          for (size_t n = 0; n < inputs; n++, weights += outputs) {
            for (size_t o = 0; o < outputs; o++) {
              sums[o] += near[n] * weights[o];
            }
          }
        }
      }
      for (size_t o = 0; o < outputs; o++) {
        int32_t sum = sums[o] * ((int32_t)1 << layer->accumulator_shift) +
                      layer->biases[o] * ((int32_t)1 << layer->bias_shift);
        *y++ = clamp(round_shift(sum, layer->output_shift), layer->low,
                     layer->high);
      }
    }
  }
}

/* Memory for one tile of a filter. */
typedef struct {
  int32_t *x, *y, *sums;
} Work;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static Work make_work(const Filter *filter, Size plane) {
  size_t edge = TILE + 2 * (size_t)filter->margin;
  uint64_t items = (uint64_t)least(edge, plane.height) *
                   least(edge, plane.width) * (uint64_t)filter->widest;
  if (items > MAX_TILE_BYTES / sizeof(int32_t)) {
    fail("a filter of %d channels and a margin of %d samples needs more than "
         "1 GiB", filter->widest, filter->margin);
  }
  Work work = {allocate((size_t)items, sizeof(int32_t)),
               allocate((size_t)items, sizeof(int32_t)),
               allocate((size_t)filter->widest, sizeof(int32_t))};
  return work;
}

static void free_work(Work work) {
  free(work.x);
  free(work.y);
  free(work.sums);
}

/* Runs all layers on size samples at `from`, whose rows are `stride` apart;
 * the residual is in work->x then. */
static void run_tile(const Filter *filter, Work *work, Size size,
                     const uint16_t *from, size_t stride, int qp) {
  int32_t plane_of_qp = (int32_t)qp * ((int32_t)1 << (filter->depth - QP_BITS));
  for (size_t i = 0; i < size.height; i++) {
    for (size_t j = 0; j < size.width; j++) {
      work->x[2 * (i * size.width + j)] = from[i * stride + j];
      work->x[2 * (i * size.width + j) + 1] = plane_of_qp;
    }
  }
  for (int k = 0; k < filter->count; k++) {
    run_layer(&filter->layers[k], size, work->x, work->y, work->sums);
    int32_t *swapped = work->x;
    work->x = work->y;
    work->y = swapped;
  }
}

/* Filters a plane in tiles: with its margin a tile gives the plane's bits.
 * `residual` may be NULL. */
static void filter_plane(const Filter *filter, Work *work, Size plane, int qp,
                         const uint16_t *in, uint16_t *out,
                         int32_t *residual) {
  size_t margin = (size_t)filter->margin;
  int bits = filter->layers[filter->count - 1].output_fl - filter->depth;
  int32_t largest = ((int32_t)1 << filter->depth) - 1;
  for (size_t i = 0; i < plane.height; i += TILE) {
    for (size_t j = 0; j < plane.width; j += TILE) {
      size_t top = i - least(i, margin), left = j - least(j, margin);
      Size tile = {least(plane.height, i + TILE + margin) - top,
                   least(plane.width, j + TILE + margin) - left};
      run_tile(filter, work, tile, in + top * plane.width + left, plane.width,
               qp);
      for (size_t y = i; y < least(plane.height, i + TILE); y++) {
        for (size_t x = j; x < least(plane.width, j + TILE); x++) {
          size_t at = y * plane.width + x;
          int32_t found = work->x[(y - top) * tile.width + x - left];
          int32_t sum = (int32_t)in[at] * ((int32_t)1 << bits) + found;
          out[at] = (uint16_t)clamp(round_shift(sum, bits), 0, largest);
          if (residual != NULL) residual[at] = found;
        }
      }
    }
  }
}

/* The known answer: reconstruction, qp, residual, filtered. */
typedef struct {
  const Array *arrays[4];
} Answer;

/* Finds the known answer and checks it; says whether there is one. */
static int find_answer(const Archive *archive, const Filter *filter,
                       Answer *answer) {
  static const char *names[4] = {"vector_reconstruction", "vector_qp",
                                 "vector_residual", "vector_filtered"};
  if (find_or_null(archive, names[1]) == NULL) return 0;
  for (int i = 0; i < 4; i++) {
    answer->arrays[i] = find(archive, names[i], i == 1 ? 1 : 4);
  }
  const Array *in = answer->arrays[0], *qp = answer->arrays[1];
  for (int i = 0; i < 4; i++) {
    if (i != 1 && memcmp(answer->arrays[i]->shape, in->shape,
                         sizeof in->shape) != 0) {
      fail("%s: its shape differs from the others'", names[i]);
    }
  }
  if (in->shape[3] != 1 || qp->count != in->shape[0] ||
      in->count > MAX_VECTOR_SAMPLES) {
    fail("the arrays of the known answer do not fit together");
  }
  for (size_t i = 0; i < in->count; i++) {
    in_range(names[0], item(in, i), 0, (1 << filter->depth) - 1);
  }
  for (size_t i = 0; i < qp->count; i++) {
    in_range(names[1], item(qp, i), 0, MAX_QP);
  }
  return 1;
}

static void check_answer(const Filter *filter, const Answer *answer) {
  const Array *in = answer->arrays[0], *qp = answer->arrays[1];
  Size size = {in->shape[1], in->shape[2]};
  size_t count = size.height * size.width;
  uint16_t *samples = allocate(count, sizeof *samples);
  uint16_t *filtered = allocate(count, sizeof *filtered);
  int32_t *residual = allocate(count, sizeof *residual);
  Work work = make_work(filter, size);
  for (size_t i = 0; i < qp->count; i++) {
    size_t first = i * count;
    for (size_t j = 0; j < count; j++) {
      samples[j] = (uint16_t)item(in, first + j);
    }
    filter_plane(filter, &work, size, item(qp, i), samples, filtered,
                 residual);
    for (size_t j = 0; j < count; j++) {
      if (residual[j] != item(answer->arrays[2], first + j) ||
          filtered[j] != item(answer->arrays[3], first + j)) {
        fail("plane %zu of the known answer differs at sample %zu", i, j);
      }
    }
  }
  free_work(work);
  free(samples);
  free(filtered);
  free(residual);
  printf("%zu planes of %zux%zu: the known answer, bit for bit\n", qp->count,
         size.width, size.height);
}

typedef struct {
  const char *in, *out;
  Size luma;
  int qp, chroma, depth;
} Job;

/* Filters one plane from file to file. */
static void filter_stream(const Filter *filter, const Job *job, Size size,
                          FILE *in, FILE *out) {
  size_t count = size.height * size.width;
  size_t bytes = filter->depth > 8 ? 2 : 1;
  uint8_t *raw = allocate(count, bytes);
  uint16_t *samples = allocate(count, sizeof *samples);
  uint16_t *filtered = allocate(count, sizeof *filtered);
  read_exactly(in, raw, count * bytes, job->in);
  for (size_t i = 0; i < count; i++) {
    samples[i] = (uint16_t)little(raw + i * bytes, (int)bytes);
    if (samples[i] >> filter->depth != 0) {
      fail("%s: a sample of %d, expected %d bits", job->in, samples[i],
           filter->depth);
    }
  }
  Work work = make_work(filter, size);
  filter_plane(filter, &work, size, job->qp, samples, filtered, NULL);
  free_work(work);
  for (size_t i = 0; i < count; i++) {
    raw[i * bytes] = (uint8_t)(filtered[i] & 255);
    if (bytes == 2) raw[i * bytes + 1] = (uint8_t)(filtered[i] >> 8);
  }
  if (fwrite(raw, bytes, count, out) != count) {
    fail("%s: cannot be written", job->out);
  }
  free(raw);
  free(samples);
  free(filtered);
}

/* Filters all planes of all frames; the size was checked. */
static void filter_frames(const Filter *filter, const Job *job,
                          uint64_t frames, FILE *in, FILE *out) {
  Size chroma = job->luma;
  if (job->chroma != 444) chroma.width /= 2;
  if (job->chroma == 420) chroma.height /= 2;
  for (uint64_t frame = 0; frame < frames; frame++) {
    filter_stream(filter, job, job->luma, in, out);
    for (int i = 0; job->chroma != 400 && i < 2; i++) {
      filter_stream(filter, job, chroma, in, out);
    }
  }
}

static uint64_t frame_bytes(const Filter *filter, const Job *job) {
  uint64_t samples = (uint64_t)job->luma.height * job->luma.width;
  if ((job->chroma == 420 && job->luma.height % 2) ||
      ((job->chroma == 420 || job->chroma == 422) && job->luma.width % 2)) {
    fail("--size: got %zux%zu, expected even numbers for chroma %d",
         job->luma.width, job->luma.height, job->chroma);
  }
  if (job->chroma == 420) samples += samples / 2;
  if (job->chroma == 422) samples *= 2;
  if (job->chroma == 444) samples *= 3;
  return samples * (filter->depth > 8 ? 2 : 1);
}

static void filter_file(const Filter *filter, const Job *job) {
  uint64_t bytes = frame_bytes(filter, job);
  FILE *in = open_file(job->in);
  uint64_t size = file_size(in, job->in);
  if (size == 0 || size % bytes != 0) {
    fail("%s: got %" PRIu64 " bytes, expected a multiple of %" PRIu64,
         job->in, size, bytes);
  }
  /* Takes its name at the end, so that no half of a file is taken for one. */
  size_t length = strlen(job->out) + sizeof ".partial";
  char *partial = allocate(length, 1);
  snprintf(partial, length, "%s.partial", job->out);
  FILE *out = fopen(partial, "wb");
  if (out == NULL) fail("%s: cannot be written", partial);
  unfinished_path = partial;
  filter_frames(filter, job, size / bytes, in, out);
  if (fclose(out) != 0 || rename(partial, job->out) != 0) {
    fail("%s: cannot be written", job->out);
  }
  unfinished_path = NULL;
  free(partial);
  fclose(in);
}

static const char usage[] =
    "usage: dfp_filter FILTER.npz --check, or dfp_filter FILTER.npz IN.yuv "
    "OUT.yuv --size=WxH --qp=N [--chroma=420] [--depth=N]";

/* Reads digits alone, up to `high`; moves *text behind them. */
static int number(const char **text, const char *name, int low, int high) {
  int value = 0, digits = 0;
  for (; **text >= '0' && **text <= '9' && digits < 6; digits++) {
    value = value * 10 + (*(*text)++ - '0');
  }
  if (digits == 0 || value < low || value > high) {
    fail("%s: expected a number of %d to %d", name, low, high);
  }
  return value;
}

/* Reads one --flag=value. */
static void parse_flag(const char *text, Job *job) {
  const char *flag = text;
  if (skip(&text, "--size=")) {
    job->luma.width = (size_t)number(&text, "--size", 1, MAX_EDGE);
    if (!skip(&text, "x")) fail("--size: expected WxH");
    job->luma.height = (size_t)number(&text, "--size", 1, MAX_EDGE);
  } else if (skip(&text, "--qp=")) {
    job->qp = number(&text, "--qp", 0, MAX_QP);
  } else if (skip(&text, "--chroma=")) {
    job->chroma = number(&text, "--chroma", 400, 444);
    if (job->chroma != 400 && job->chroma != 420 && job->chroma != 422 &&
        job->chroma != 444) {
      fail("--chroma: got %d, expected 400, 420, 422 or 444", job->chroma);
    }
  } else if (skip(&text, "--depth=")) {
    job->depth = number(&text, "--depth", 8, 16);
  } else {
    fail("%s: unknown; %s", flag, usage);
  }
  if (*text != '\0') fail("%s: expected nothing behind the value", flag);
}

static Job parse_job(int count, char **arguments) {
  Job job = {NULL, NULL, {0, 0}, -1, 420, 0};
  for (int i = 2; i < count; i++) {
    if (arguments[i][0] == '-') {
      parse_flag(arguments[i], &job);
    } else if (job.in == NULL) {
      job.in = arguments[i];
    } else if (job.out == NULL) {
      job.out = arguments[i];
    } else {
      fail("%s: one file too many; %s", arguments[i], usage);
    }
  }
  if (job.out == NULL || job.luma.width == 0 || job.qp < 0) fail("%s", usage);
  return job;
}

int main(int count, char **arguments) {
  static Archive archive;
  static Filter filter;
  if (count < 3) fail("%s", usage);
  int check = count == 3 && strcmp(arguments[2], "--check") == 0;
  Job job = {NULL, NULL, {0, 0}, 0, 420, 0};
  if (!check) job = parse_job(count, arguments);
  Bytes zip = read_file(arguments[1]);
  parse_archive(zip, &archive);
  parse_filter(&archive, &filter);
  Answer answer;
  int known = find_answer(&archive, &filter, &answer);
  if (check) {
    if (!known) fail("the filter comes without a known answer");
    check_answer(&filter, &answer);
  } else {
    if (job.depth != 0 && job.depth != filter.depth) {
      fail("--depth: got %d, the filter was made for %d", job.depth,
           filter.depth);
    }
    filter_file(&filter, &job);
  }
  for (int i = 0; i < filter.count; i++) {
    free(filter.layers[i].weights);
    free(filter.layers[i].biases);
  }
  free(zip.data);
  return 0;
}
