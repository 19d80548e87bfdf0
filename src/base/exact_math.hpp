// exp, log and pow from + - * / and sqrt only. libm's differ in the last bit between CPUs (glibc chooses FMA variants
// at run time), and one differing bit is a different schedule. Accurate to a few ulp, not correctly rounded.
#pragma once

namespace qlm::exact {

double exp(double x);
double log(double x);            // of x > 0; anything else gives -infinity
double pow(double x, double y);  // of x > 0

}  // namespace qlm::exact
