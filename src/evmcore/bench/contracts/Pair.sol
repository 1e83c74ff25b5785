// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IToken {
    function balanceOf(address owner) external view returns (uint256);
    function transfer(address to, uint256 value) external returns (bool);
}

/// A constant-product market of two tokens: a swap pays 0.3 % of what comes in, and may never lower the product of the
/// reserves after that fee. No liquidity tokens: `fund` takes what was sent to the pair as reserves.
contract Pair {
    address public token0;
    address public token1;
    // One slot: both reserves and the time of their last change.
    uint112 private reserve0;
    uint112 private reserve1;
    uint32 private updatedAt;
    // Integrals of both prices (UQ112.112 a second) for averages over time.
    uint256 public priceIntegral0;
    uint256 public priceIntegral1;
    uint256 private entered;

    event Sync(uint112 reserve0, uint112 reserve1);
    event Swap(address indexed sender, uint256 in0, uint256 in1, uint256 out0, uint256 out1, address indexed to);

    error Locked();
    error NoOutput();
    error NoInput();
    error InsufficientLiquidity();
    error ProductLowered();
    error ReserveOverflow();
    error TransferFailed();

    constructor(address token0_, address token1_) {
        token0 = token0_;
        token1 = token1_;
        entered = 1;
    }

    modifier lock() {
        if (entered != 1) revert Locked();
        entered = 2;
        _;
        entered = 1;
    }

    function getReserves() external view returns (uint112, uint112, uint32) {
        return (reserve0, reserve1, updatedAt);
    }

    function fund() external lock {
        _update(IToken(token0).balanceOf(address(this)), IToken(token1).balanceOf(address(this)), 0, 0);
    }

    /// Pays the named amounts to `to`; the payment for them has to be in the pair already.
    function swap(uint256 out0, uint256 out1, address to) external lock {
        if (out0 == 0 && out1 == 0) revert NoOutput();
        (uint256 before0, uint256 before1) = (reserve0, reserve1);
        if (out0 >= before0 || out1 >= before1) revert InsufficientLiquidity();

        uint256 after0 = _pay(token0, out0, to);
        uint256 after1 = _pay(token1, out1, to);
        uint256 in0 = after0 > before0 - out0 ? after0 - (before0 - out0) : 0;
        uint256 in1 = after1 > before1 - out1 ? after1 - (before1 - out1) : 0;
        if (in0 == 0 && in1 == 0) revert NoInput();
        {
            // In thousandths, with 3 of each thousand that came in left out of the product.
            uint256 net0 = after0 * 1000 - in0 * 3;
            uint256 net1 = after1 * 1000 - in1 * 3;
            if (net0 * net1 < before0 * before1 * 1_000_000) revert ProductLowered();
        }
        _update(after0, after1, before0, before1);
        emit Swap(msg.sender, in0, in1, out0, out1, to);
    }

    /// Sends `value` of a token, if any, and returns what the pair then holds of it.
    function _pay(address token, uint256 value, address to) private returns (uint256) {
        if (value > 0 && !IToken(token).transfer(to, value)) revert TransferFailed();
        return IToken(token).balanceOf(address(this));
    }

    function _update(uint256 after0, uint256 after1, uint256 before0, uint256 before1) private {
        if (after0 > type(uint112).max || after1 > type(uint112).max) revert ReserveOverflow();
        uint32 time = uint32(block.timestamp);
        unchecked {
            uint32 elapsed = time - updatedAt;
            if (elapsed > 0 && before0 != 0 && before1 != 0) {
                priceIntegral0 += ((before1 << 112) / before0) * elapsed;
                priceIntegral1 += ((before0 << 112) / before1) * elapsed;
            }
        }
        reserve0 = uint112(after0);
        reserve1 = uint112(after1);
        updatedAt = time;
        emit Sync(uint112(after0), uint112(after1));
    }
}
