// Every own kernel of the cuda back end on the GPU that is there, over odd sizes and places, against the CPU. Needs
// nothing but the CUDA runtime. Exit status 0, 1 beyond tolerance or outside an array, 77 where there is no GPU.
#include "arrays.h"
#include "classic.h"
#include "device.h"
#include "images.h"
#include "rows.h"

int main(void) {
    int status = harness_open();
    if (status) return status;
    test_devices();
    for (skew = 0; skew < 2; skew++) {
        test_arrays();
        test_classics();
        test_images();
        test_rows();
    }
    return harness_close();
}
