"""Elementary functions of one float32 number, made to be inlined: loops that call them become vector code.

The C library's are exact to the last bit but scalar, five to twenty times slower in a loop. Those here have no branch
and no table: an argument is reduced to n · log 2 + r with |r| ≤ log 2 / 2, a polynomial gives e^r, and the bits of n
become the exponent (Cephes, Moshier 1989). Angles are counted in turns, whose whole part is left out without error.
NaN stays NaN. Their naive twins are NumPy's and SciPy's functions.

They are compiled without re-ordered sums (`EXACT`): the reduction lives on the order of its subtractions. Without
branches, a number's result does not depend on its place in the loop.
"""

import numpy as np

from hpsearch.mlp.kernels import compiled

EXACT = {"contract", "nsz"}

ROUNDER = np.float32(1.5 * 2**23)
"""Added to a small float32, it leaves the nearest whole number in the last bits."""
ROUNDER_BITS = np.int32(ROUNDER.view(np.int32))
LOG2_E = np.float32(1.4426950408889634)
LOG_2_HIGH, LOG_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""log 2 in two parts, the first with so few bits that n times it is exact."""


@compiled("Tuple((float32, int32))(float32)", EXACT)
def reduced(x: np.float32) -> tuple[np.float32, np.int32]:
    """(m, n) with e^x = (1 + m) · 2^n and |m| < 0.42, for |x| ≤ 104; m is exact to the last bit or two also near 0."""
    rounded = x * LOG2_E + ROUNDER
    whole = rounded - ROUNDER
    r = (x - whole * LOG_2_HIGH) - whole * LOG_2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    return p * (r * r) + r, np.int32(np.float32(rounded).view(np.int32) - ROUNDER_BITS)


@compiled("float32(int32)", EXACT)
def power_of_two(n: np.int32) -> np.float32:
    """2^n for n in −126 … 127, by its bits."""
    return np.float32(np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32))


@compiled("float32(float32)", EXACT)
def exponential(x: np.float32) -> np.float32:
    """e^x, to 1 unit in the last place; infinite above 88.73, and below −87.3 as exact as its few bits allow."""
    x = np.float32(104) if x > np.float32(104) else x
    x = np.float32(-104) if x < np.float32(-104) else x
    m, n = reduced(x)
    # in two factors: 2^n alone would be out of range at both ends
    half = np.int32(n >> np.int32(1))
    return (m + np.float32(1)) * power_of_two(half) * power_of_two(np.int32(n - half))


@compiled("float32(float32)", EXACT)
def exponential_minus_one(x: np.float32) -> np.float32:
    """e^x − 1, to 2 units in the last place also near 0; x counts as 87 above 87."""
    x = np.float32(87) if x > np.float32(87) else x
    x = np.float32(-87) if x < np.float32(-87) else x
    m, n = reduced(x)
    power = power_of_two(n)
    return m * power + (power - np.float32(1))


@compiled("float32(float32)", EXACT)
def logistic(x: np.float32) -> np.float32:
    """1 / (1 + e^(−x)), to 3 units in the last place."""
    return np.float32(1) / (np.float32(1) + exponential(-x))


@compiled("float32(float32)", EXACT)
def hyperbolic_tangent(x: np.float32) -> np.float32:
    """tanh x = m / (m + 2) with m = e^(2x) − 1, to 3 units in the last place also near 0."""
    # at 10 it is 1 in float32; without the limit infinity would be divided by infinity
    m = exponential_minus_one(np.float32(2) * (np.float32(10) if x > np.float32(10) else x))
    return m / (m + np.float32(2))


@compiled("float32(float32, float32)", EXACT)
def cumulative_normal(x: np.float32, bell: np.float32) -> np.float32:
    """Φ(x) = (1 + erf(x / √2)) / 2 to a relative 1e-6, given `bell` = e^(−x²/2), which callers need anyway.

    Φ(−a) = bell · t · polynomial(t), t = 1 / (1 + 0.3 a), for a ≥ 0: the form of Hastings (1955; 26.2.17 in Abramowitz
    and Stegun), fitted here to smallest relative error, so that the far tail is right too; Φ(a) = 1 − Φ(−a).
    """
    distance = -x if x < 0 else x
    t = np.float32(1) / (np.float32(1) + np.float32(0.3) * distance)
    p = np.float32(3.557844595e-2)
    p = p * t + np.float32(-1.568316009e-1)
    p = p * t + np.float32(2.057675523e-1)
    p = p * t + np.float32(-5.319466722e-2)
    p = p * t + np.float32(1.283286844e-1)
    p = p * t + np.float32(9.997682796e-2)
    p = p * t + np.float32(1.207448582e-1)
    p = p * t + np.float32(1.196298309e-1)
    tail = bell * (p * t)
    return np.float32(1) - tail if x > 0 else tail


TURN = np.float32(6.283185307179586)
"""2π, the angle of a whole turn."""


@compiled("float32(float32)", EXACT)
def quarter_sine(turns: np.float32) -> np.float32:
    """sin 2πt for |t| ≤ 1/4, to 2 units in the last place also near 0: x + x³ · P(x²), smallest relative error."""
    x = turns * TURN
    square = x * x
    p = np.float32(2.605750751e-6)
    p = p * square + np.float32(-1.980959059e-4)
    p = p * square + np.float32(8.333066478e-3)
    p = p * square + np.float32(-1.666665971e-1)
    return x + x * (square * p)


@compiled("float32(float32)", EXACT)
def cosine_of_turns(turns: np.float32) -> np.float32:
    """cos 2πt, to 2 units in the last place of 1; NaN for infinite t."""
    beyond = np.abs(turns - np.rint(turns))
    return quarter_sine(np.float32(0.25) - beyond)


@compiled("float32(float32)", EXACT)
def sine_of_turns(turns: np.float32) -> np.float32:
    """sin 2πt, to 2 units in the last place also near its zeros; NaN for infinite t."""
    beyond = turns - np.rint(turns)
    size = np.abs(beyond)
    # the second quarter of a turn is the mirror image of the first
    nearest = size if size < np.float32(0.25) else np.float32(0.5) - size
    return quarter_sine(nearest if beyond > 0 else -nearest)
